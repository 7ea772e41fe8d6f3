//! Tools that an operator declares as one HTTP request each: method, address, headers and body made of the call's
//! arguments. The same guard as everything else; no redirect is followed. Start with [`HttpTools`].

mod template;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use mainstay_vocabulary::{Object, item::Content};
use serde_json::Value;
use template::Template;
pub use template::{Body, Field};
use tokio::time::timeout;
use url::Url;

use crate::{
    Annotations, Call, CallStream, Error, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox,
    egress::{Cause, Guard, Purpose, target::Target},
    http::{Broken, Http, Left, Sending, read},
    mcp::Secret,
};

/// Bytes of a response that are read.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of an error's body that are repeated.
const MAX_ERROR_BYTES: usize = 2 * 1024;
/// Tools of one list, as for an MCP server.
const MAX_TOOLS: usize = 2_000;
/// Unused connections kept for each server.
const MAX_IDLE: usize = 2;
/// The longest wait for a response's head; a call's own timeout is shorter.
const HEAD: Duration = Duration::from_secs(600);
/// Between two parts of a body.
const IDLE: Duration = Duration::from_secs(60);

/// The methods that a tool may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks whether there is something to read.
    Head,
    /// Does something, each time.
    Post,
    /// Puts something in its place: twice is as once.
    Put,
    /// Changes something, each time.
    Patch,
    /// Takes something away: twice is as once.
    Delete,
}

/// One tool, as an operator declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// What a call names.
    pub name: String,
    /// For the model.
    pub description: Option<String>,
    /// How.
    pub method: Method,
    /// Where: `https://api.example.com/users/{id}?fields={fields}`. Arguments stand in path and query only.
    pub url: String,
    /// Sent along; they appear in no error.
    pub headers: Vec<(String, Secret)>,
    /// JSON Schema of the arguments.
    pub parameters: Object,
    /// What is sent.
    pub body: Body,
    /// What is known of its effects; `None` tells it by the method.
    pub annotations: Option<Annotations>,
}

struct Tool {
    listed: ListedTool,
    method: http::Method,
    template: Template,
    headers: Vec<(HeaderName, Secret)>,
}

/// Such tools. Cheap to share.
#[derive(Clone)]
pub struct HttpTools {
    tools: Arc<[Tool]>,
    http: Http,
}

impl fmt::Debug for HttpTools {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.tools.iter().map(|tool| &tool.listed.name).collect();
        out.debug_struct("HttpTools").field("tools", &names).finish_non_exhaustive()
    }
}

impl HttpTools {
    /// Checks the declarations; connects to nothing. `who` goes into the ledger of connections.
    ///
    /// # Errors
    /// `Refused` where one means nothing.
    pub fn new(declared: Vec<Declared>, guard: Arc<Guard>, who: impl Into<Arc<str>>) -> Result<Self, Error> {
        if declared.len() > MAX_TOOLS {
            return Err(Error::Refused(format!("more than {MAX_TOOLS} HTTP tools")));
        }
        let tools = declared.into_iter().map(Tool::new).collect::<Result<_, _>>()?;
        let http = Http::new(guard, Cause { who: who.into(), purpose: Purpose::HttpTool }, MAX_IDLE);
        Ok(Self { tools, http })
    }

    async fn ended(&self, call: &Call) -> Result<Returned, Failure> {
        let not_sent = |why: String| Failure::new(FailureKind::NotSent, format!("tool `{}`: {why}", call.tool));
        let tool = self.tools.iter().find(|tool| tool.listed.name == call.tool);
        let tool = tool.ok_or_else(|| not_sent("there is no such tool here".to_owned()))?;
        let left = Left::default();
        let request = tool.request(call, left.clone()).map_err(not_sent)?;
        let has_body = request.body().has_bytes();
        let late = || {
            // Without a body nothing tells when a request leaves: it may have.
            let kind = if left.get() || !has_body { FailureKind::Unknown } else { FailureKind::NotSent };
            Failure::new(kind, format!("tool `{}`: no answer in time", call.tool))
        };
        let answer = async {
            let mut response = self.http.send(request, HEAD).await?;
            let body = read(response.body_mut(), MAX_BODY_BYTES, IDLE).await?;
            Ok((response, body))
        };
        let answer: Result<_, Broken> = timeout(call.timeout, answer).await.map_err(|_| late())?;
        let (response, body) = answer.map_err(|broken| match broken {
            Broken::Connect(error) => not_sent(error.to_string()),
            other => Failure::new(FailureKind::Unknown, format!("tool `{}`: {other}", call.tool)),
        })?;
        answered(&call.tool, &response, &body)
    }
}

impl Tool {
    fn new(declared: Declared) -> Result<Self, Error> {
        let refused = |why: String| Error::Refused(format!("HTTP tool `{}`: {why}", declared.name));
        let template = Template::new(&declared.url, declared.body).map_err(refused)?;
        let headers = declared.headers.into_iter().map(|(name, value)| {
            let parsed = name.parse::<HeaderName>();
            parsed.map(|name| (name, value)).map_err(|_| refused(format!("`{name}` is no header's name")))
        });
        let (method, by_method) = of_method(declared.method);
        let listed = ListedTool {
            name: declared.name.clone(),
            description: declared.description,
            parameters: declared.parameters,
            annotations: declared.annotations.unwrap_or(by_method),
            ..ListedTool::default()
        };
        Ok(Self { listed, method, template, headers: headers.collect::<Result<_, _>>()? })
    }

    fn request(&self, call: &Call, left: Left) -> Result<Request<Sending>, String> {
        let required = self.listed.parameters.get("required").and_then(Value::as_array).into_iter().flatten();
        if let Some(missing) = required.filter_map(Value::as_str).find(|name| !call.arguments.contains_key(*name)) {
            return Err(format!("argument `{missing}` is missing"));
        }
        let url: Url = self.template.url(&call.arguments)?;
        let body = self.template.body(&call.arguments)?;
        let mut request = Request::builder()
            .method(&self.method)
            .uri(url.as_str())
            .header("idempotency-key", &call.idempotency_key)
            .header(header::ACCEPT, "application/json, text/*;q=0.9, */*;q=0.1")
            .header(header::USER_AGENT, concat!("mainstay/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, secret) in &self.headers {
            let value = HeaderValue::from_str(secret.expose());
            let mut value = value.map_err(|_| format!("header `{name}` cannot be sent"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let body = body.map(Bytes::from).unwrap_or_default();
        request.body(Sending::new(body, left)).map_err(|_| "a header cannot be sent".to_owned())
    }
}

/// The method, and what it says of the effects where nobody declared more (RFC 9110, section 9.2).
fn of_method(method: Method) -> (http::Method, Annotations) {
    let (method, read_only, idempotent) = match method {
        Method::Get => (http::Method::GET, true, true),
        Method::Head => (http::Method::HEAD, true, true),
        Method::Post => (http::Method::POST, false, false),
        Method::Put => (http::Method::PUT, false, true),
        Method::Patch => (http::Method::PATCH, false, false),
        Method::Delete => (http::Method::DELETE, false, true),
    };
    let told = Annotations {
        read_only: Some(read_only),
        destructive: Some(!read_only),
        idempotent: Some(idempotent),
        open_world: Some(true),
    };
    (method, told)
}

fn answered(tool: &str, response: &Response<Incoming>, body: &[u8]) -> Result<Returned, Failure> {
    let status = response.status();
    let text = String::from_utf8_lossy(body).into_owned();
    let words = || crate::mcp::cut(text.clone(), MAX_ERROR_BYTES);
    if status.is_server_error() {
        let message = format!("tool `{tool}`: HTTP {}: {}", status.as_u16(), words());
        return Err(Failure::new(FailureKind::Unknown, message));
    }
    if status.is_redirection() {
        let message = format!("tool `{tool}`: HTTP {}: redirects are not followed", status.as_u16());
        return Err(Failure::new(FailureKind::Rejected, message));
    }
    if status.is_client_error() {
        let content = vec![Content::Text(format!("HTTP {}: {}", status.as_u16(), words()))];
        return Ok(Returned { content, structured: None, is_error: true });
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let structured = kind.contains("json").then(|| serde_json::from_slice(body).ok()).flatten();
    Ok(Returned { content: vec![Content::Text(text)], structured, is_error: false })
}

impl Toolbox for HttpTools {
    fn list(&self) -> Reply<Result<Listing, Failure>> {
        let tools = self.tools.iter().map(|tool| tool.listed.clone()).collect();
        Box::pin(std::future::ready(Ok(Listing { tools, ..Listing::default() })))
    }

    fn call(&self, call: Call) -> CallStream {
        let this = self.clone();
        Box::pin(stream::once(async move { Step::Ended(this.ended(&call).await) }))
    }
}

/// The place that a declared address names, placeholders aside.
fn place(url: &str) -> Result<Target, String> {
    Target::parse(url).map(|(target, _)| target)
}
