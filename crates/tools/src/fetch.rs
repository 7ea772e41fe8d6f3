//! The `fetch` tool: a page of the web as text that a model can read. GET and HEAD through the guard, redirects
//! included, bounded in size and time. Start with [`Fetch`].

mod charset;
mod html;

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mainstay_vocabulary::{Object, item::Content};
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use crate::{
    Annotations, Call, CallStream, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox,
    egress::{Cause, Guard, Purpose, target::Target},
    http::{Broken, Http, Left, Sending, read},
};

/// The tool's name.
const NAME: &str = "fetch";
/// Bytes of a body that are read.
const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// Bytes of text that a model is given at once; it can ask for what follows.
const MAX_TEXT_BYTES: usize = 100 * 1024;
/// Redirects that are followed, as browsers' limits go.
const MAX_REDIRECTS: usize = 10;
/// Until a response's head is there.
const HEAD: Duration = Duration::from_secs(30);
/// Between two parts of a body.
const IDLE: Duration = Duration::from_secs(15);

/// The tool. Cheap to share.
#[derive(Clone)]
pub struct Fetch {
    guard: Arc<Guard>,
    who: Arc<str>,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Fetch").field("who", &self.who).finish_non_exhaustive()
    }
}

/// What is asked for.
struct Wanted {
    url: String,
    method: Method,
    /// Where in the text to begin, bytes.
    start: usize,
    most: usize,
}

impl Fetch {
    /// The tool on somebody's behalf, e.g. an agent's.
    pub fn new(guard: Arc<Guard>, who: impl Into<Arc<str>>) -> Self {
        Self { guard, who: who.into() }
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Returned, Failure> {
        let cause = Cause { who: self.who.clone(), purpose: Purpose::Fetch };
        // No connection outlives a call, so that each redirect and each call is checked on its own.
        let http = Http::new(self.guard.clone(), cause, 0);
        let mut url = wanted.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let (target, plain) = Target::parse(&url).map_err(refused)?;
            let response = self.ask(&http, &wanted.method, &plain).await.map_err(|broken| failed(&target, &broken))?;
            if let Some(next) = redirect(&plain, &response)? {
                url = next;
                continue;
            }
            return page(wanted, &plain, response).await.map_err(|broken| failed(&target, &broken));
        }
        Err(Failure::new(FailureKind::Rejected, format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn ask(&self, http: &Http, method: &Method, url: &Url) -> Result<Response<Incoming>, Broken> {
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::ACCEPT, "text/html, text/plain, application/json;q=0.9, text/*;q=0.8, */*;q=0.1")
            .header(header::USER_AGENT, concat!("mainstay/", env!("CARGO_PKG_VERSION")))
            .body(Sending::new("", Left::default()))
            .map_err(|why| Broken::Connect(crate::Error::Refused(format!("the address cannot be sent: {why}"))))?;
        http.send(request, HEAD).await
    }
}

fn refused(why: String) -> Failure {
    Failure::new(FailureKind::NotSent, why)
}

fn failed(target: &Target, broken: &Broken) -> Failure {
    let kind = match broken {
        Broken::Connect(_) => FailureKind::NotSent,
        _ => FailureKind::Unknown,
    };
    let message = match broken {
        Broken::Connect(error) => error.to_string(),
        other => format!("{target}: {other}"),
    };
    Failure::new(kind, message)
}

/// Where a response sends us.
fn redirect(from: &Url, response: &Response<Incoming>) -> Result<Option<String>, Failure> {
    let status = response.status();
    let follows = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(header::LOCATION).filter(|_| follows) else { return Ok(None) };
    let bad = |why: &str| Failure::new(FailureKind::Rejected, format!("a redirect to somewhere odd: {why}"));
    let location = location.to_str().map_err(|_| bad("its location is not ASCII"))?;
    // What is spelled oddly is refused as it was written, before it is joined and thereby made plain.
    if location.contains("://") {
        Target::parse(location).map_err(|why| bad(&why))?;
    }
    let next = from.join(location).map_err(|why| bad(&why.to_string()))?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(bad("from https to http"));
    }
    Ok(Some(next.to_string()))
}

async fn page(wanted: &Wanted, url: &Url, mut response: Response<Incoming>) -> Result<Returned, Broken> {
    let status = response.status();
    let headers = response.headers().clone();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = Vec::new();
    if wanted.method == Method::GET {
        body = read(response.body_mut(), MAX_BODY_BYTES, IDLE).await?;
    }
    let text = match text(&kind, &headers, &body) {
        Ok(text) => text,
        Err(why) => return Ok(returned(true, &heading(url, status, &kind), &why, &json!({}))),
    };
    let rest = from_byte(&text, wanted.start);
    let shown = up_to(rest, wanted.most);
    let next = (shown.len() < rest.len()).then(|| wanted.start + shown.len());
    let mut heading = heading(url, status, &kind);
    if let Some(next) = next {
        heading.push_str(&format!("\nbytes {} to {next} of {}; go on with start={next}", wanted.start, text.len()));
    }
    let told = json!({ "url": url.as_str(), "status": status.as_u16(), "content_type": kind, "bytes": text.len(), "next": next });
    Ok(returned(!status.is_success(), &heading, shown, &told))
}

fn heading(url: &Url, status: StatusCode, kind: &str) -> String {
    format!("{url}\nHTTP {}, {}", status.as_u16(), if kind.is_empty() { "no content type" } else { kind })
}

fn returned(is_error: bool, heading: &str, text: &str, told: &Value) -> Returned {
    let content = vec![Content::Text(format!("{heading}\n\n{text}"))];
    Returned { content, structured: Some(told.clone()), is_error }
}

/// What a model reads of a body.
fn text(kind: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") && !body.is_empty() {
        return Err(format!("the body is compressed as `{coding}`, which was not asked for"));
    }
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_html = matches!(essence.as_str(), "text/html" | "application/xhtml+xml");
    let is_text = essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "application/json" | "application/xml" | "application/javascript" | "application/x-ndjson"
        )
        || (essence.is_empty() && !body.contains(&0));
    if !is_html && !is_text {
        return Err(format!("the body is `{essence}`, which is no text ({} bytes)", body.len()));
    }
    let decoded = charset::decode(kind, body, is_html);
    Ok(if is_html { html::text(&decoded) } else { decoded })
}

fn from_byte(text: &str, start: usize) -> &str {
    let start = (start..=text.len()).find(|start| text.is_char_boundary(*start));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

fn up_to(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

impl Wanted {
    fn read(call: &Call) -> Result<Self, String> {
        let arguments = &call.arguments;
        let url = arguments.get("url").and_then(Value::as_str).ok_or("`url` is missing")?.to_owned();
        let method = match arguments.get("method").map(Value::as_str) {
            None | Some(Some("GET")) => Method::GET,
            Some(Some("HEAD")) => Method::HEAD,
            _ => return Err("`method` is `GET` or `HEAD`".to_owned()),
        };
        let number = |name: &str| match arguments.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
                number.map(Some).ok_or(format!("`{name}` is a number of bytes"))
            }
        };
        let start = number("start")?.unwrap_or(0);
        let most = number("max_bytes")?.unwrap_or(MAX_TEXT_BYTES).clamp(1, MAX_TEXT_BYTES);
        Ok(Self { url, method, start, most })
    }
}

impl Toolbox for Fetch {
    fn list(&self) -> Reply<Result<Listing, Failure>> {
        Box::pin(std::future::ready(Ok(Listing { tools: vec![described()], ..Listing::default() })))
    }

    fn call(&self, call: Call) -> CallStream {
        let this = self.clone();
        Box::pin(stream::once(async move { Step::Ended(this.ended(&call).await) }))
    }
}

impl Fetch {
    async fn ended(&self, call: &Call) -> Result<Returned, Failure> {
        if call.tool != NAME {
            return Err(refused(format!("there is no tool `{}` here", call.tool)));
        }
        let wanted = Wanted::read(call).map_err(refused)?;
        let work = pin!(self.fetch(&wanted));
        let late = || Failure::new(FailureKind::Unknown, "no whole page in time");
        timeout(call.timeout, work).await.map_err(|_| late())?
    }
}

fn described() -> ListedTool {
    let bytes = |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    let parameters = json!({
        "type": "object",
        "properties": {
            "url": { "type": "string", "description": "An http: or https: address." },
            "method": { "type": "string", "enum": ["GET", "HEAD"] },
            "start": bytes("Where in the text to begin, to go on where an answer was cut."),
            "max_bytes": bytes("The most text to return."),
        },
        "required": ["url"],
        "additionalProperties": false,
    });
    ListedTool {
        name: NAME.to_owned(),
        title: Some("Fetch".to_owned()),
        description: Some(
            "Reads a page of the web. HTML comes back as readable text, JSON and text as they are.".to_owned(),
        ),
        parameters: parameters.as_object().cloned().unwrap_or_else(Object::new),
        output_schema: None,
        annotations: Annotations {
            read_only: Some(true),
            destructive: Some(false),
            idempotent: Some(true),
            open_world: Some(true),
        },
        rest: Object::new(),
    }
}
