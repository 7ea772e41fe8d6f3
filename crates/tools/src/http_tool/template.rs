//! An address and a body with places for arguments. An argument can never leave its place: it is escaped, and the
//! host does not depend on it. Pure.

use mainstay_vocabulary::Object;
use serde_json::Value;
use url::Url;

use super::place;
use crate::egress::target::Target;

/// What is sent with a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Body {
    /// Nothing.
    #[default]
    Nothing,
    /// All arguments that the address does not use, as a JSON object.
    Arguments,
    /// JSON with fields that come from arguments.
    Json(Field),
}

/// A value of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// As it is.
    Value(Value),
    /// The argument of this name, as it is; left out of its object where the call has none.
    Argument(String),
    /// An object of fields.
    Object(Vec<(String, Field)>),
    /// A list of fields.
    List(Vec<Field>),
}

pub(super) struct Template {
    target: Target,
    parts: Vec<Part>,
    body: Body,
}

enum Part {
    Text(String),
    Argument(String),
}

/// Letters that stand for themselves in a path or query (RFC 3986, section 2.3).
const UNRESERVED: &[u8] = b"-._~";

impl Template {
    pub(super) fn new(url: &str, body: Body) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = url;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a `{` of the address is not closed")?;
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Argument(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let begins = url.split('{').next().unwrap_or_default();
        let is_past_host = begins.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?']));
        if parts.len() > 1 && !is_past_host {
            return Err("arguments stand in path and query of an address only".to_owned());
        }
        let sample: String =
            parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "x" }).collect();
        Ok(Self { target: place(&sample)?, parts, body })
    }

    pub(super) fn url(&self, arguments: &Object) -> Result<Url, String> {
        let mut written = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => written.push_str(text),
                Part::Argument(name) => escape(&plain(name, arguments)?, &mut written),
            }
        }
        let (target, url) = Target::parse(&written)?;
        // `.` and `..` in a path would lead elsewhere.
        let path = written.split_once("://").map_or("", |(_, rest)| rest).split(['?', '#']).next().unwrap_or_default();
        let path = path.find('/').map_or("/", |start| path.get(start..).unwrap_or("/"));
        if target != self.target || url.path().matches('/').count() != path.matches('/').count() {
            return Err("an argument changes where the address leads".to_owned());
        }
        Ok(url)
    }

    pub(super) fn body(&self, arguments: &Object) -> Result<Option<Vec<u8>>, String> {
        let value = match &self.body {
            Body::Nothing => return Ok(None),
            Body::Arguments => {
                let mut rest = arguments.clone();
                rest.retain(|name, _| {
                    !self.parts.iter().any(|part| matches!(part, Part::Argument(used) if used == name))
                });
                Value::Object(rest)
            }
            Body::Json(field) => filled(field, arguments).unwrap_or_default(),
        };
        serde_json::to_vec(&value).map(Some).map_err(|why| format!("the body cannot be written: {why}"))
    }
}

fn filled(field: &Field, arguments: &Object) -> Option<Value> {
    Some(match field {
        Field::Value(value) => value.clone(),
        Field::Argument(name) => arguments.get(name)?.clone(),
        Field::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, field)| Some((name.clone(), filled(field, arguments)?)));
            Value::Object(fields.collect())
        }
        Field::List(fields) => fields.iter().filter_map(|field| filled(field, arguments)).collect(),
    })
}

fn plain(name: &str, arguments: &Object) -> Result<String, String> {
    let text = match arguments.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        None | Some(Value::Null) => return Err(format!("argument `{name}` is missing")),
        Some(_) => return Err(format!("argument `{name}` is no text, number or truth value")),
    };
    // A dot segment stays one even when it is escaped.
    if text.is_empty() || text.bytes().all(|byte| byte == b'.') {
        return Err(format!("argument `{name}` cannot stand in an address"));
    }
    Ok(text)
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(template: &str, arguments: &Value) -> Result<String, String> {
        Template::new(template, Body::Nothing)?.url(arguments.as_object().unwrap()).map(String::from)
    }

    #[test]
    fn an_argument_stays_in_its_place() {
        let template = "https://api.example.com/users/{id}/notes?q={q}";
        let made = url(template, &json!({ "id": "a/b?c#d@e", "q": "x&y=1 ü" })).unwrap();
        assert_eq!(made, "https://api.example.com/users/a%2Fb%3Fc%23d%40e/notes?q=x%26y%3D1%20%C3%BC");
        assert_eq!(
            url(template, &json!({ "id": 7, "q": true })).unwrap(),
            "https://api.example.com/users/7/notes?q=true"
        );
        for id in ["..", ".", ""] {
            assert!(url(template, &json!({ "id": id, "q": "x" })).is_err(), "{id}");
        }
        assert!(url("https://h/a/{x}{y}/b", &json!({ "x": ".", "y": "." })).is_err());
        assert!(url("https://h/a/.{x}/b", &json!({ "x": "%2e" })).unwrap().ends_with("/a/.%252e/b"));
        assert!(url(template, &json!({ "id": "1" })).unwrap_err().contains("`q`"));
    }

    #[test]
    fn the_host_is_the_operators() {
        for template in ["https://{host}/x", "https://a.{host}/x", "{url}", "https://h:{port}/", "https://{u}@h/"] {
            assert!(Template::new(template, Body::Nothing).is_err(), "{template}");
        }
        assert!(Template::new("https://h/{x", Body::Nothing).is_err());
    }

    #[test]
    fn a_body_takes_arguments_as_they_are() {
        let field = Field::Object(vec![
            ("to".to_owned(), Field::Argument("to".to_owned())),
            ("gone".to_owned(), Field::Argument("none".to_owned())),
            ("list".to_owned(), Field::List(vec![Field::Value(json!(1)), Field::Argument("n".to_owned())])),
        ]);
        let template = Template::new("https://h/{id}", Body::Json(field)).unwrap();
        let arguments = json!({ "id": "x", "to": { "a": 1 }, "n": [2] });
        let body = template.body(arguments.as_object().unwrap()).unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({ "to": { "a": 1 }, "list": [1, [2]] }));
        let template = Template::new("https://h/{id}", Body::Arguments).unwrap();
        let body = template.body(arguments.as_object().unwrap()).unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({ "to": { "a": 1 }, "n": [2] }));
    }
}
