//! Grammars of requests, tried on texts with tokens of one byte each.

use std::sync::Arc;

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar, toktrie::ApproximateTokEnv};
use mainstay_vocabulary::{
    CallId, Item,
    inference::{Request, TextFormat},
    item::ToolOutput,
    tool::{FunctionTool, ToolChoice},
};
use serde_json::{Value, json};

use super::grammar;
use crate::engine::testing::request;

fn tool(name: &str, parameters: Value) -> FunctionTool {
    let Value::Object(parameters) = parameters else { unreachable!() };
    let (parameters, name) = (Some(parameters), name.to_owned());
    FunctionTool { name, description: None, parameters, strict: None, rest: serde_json::Map::new() }
}

fn asking(choice: ToolChoice) -> Request {
    let city = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let days = json!({ "type": "object", "properties": { "days": { "type": "integer" } }, "required": ["days"] });
    let mut request = request(vec![]);
    request.tools = Arc::from([tool("weather", city), tool("forecast", days)]);
    request.tool_choice = choice;
    request
}

/// Whether a text may be written, and the output may end there.
fn takes(request: &Request, text: &str) -> bool {
    let Some(grammar) = grammar(request).unwrap() else { return true };
    let factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).unwrap();
    let mut matcher = Matcher::new(factory.create_parser(TopLevelGrammar::from_lark(grammar.clone())));
    assert_eq!(matcher.get_error(), None, "{grammar}");
    let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
    let taken = matcher.try_consume_tokens(&tokens).unwrap();
    taken == tokens.len() && (matcher.is_stopped() || matcher.is_accepting().unwrap())
}

const OSLO: &str = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
const DAYS: &str = "<tool_call>\n{\"name\": \"forecast\", \"arguments\": {\"days\": 3}}\n</tool_call>";

#[test]
fn the_model_may_speak_or_call() {
    let request = asking(ToolChoice::Auto);
    assert!(takes(&request, "Hello <tool> there"));
    assert!(takes(&request, OSLO));
    assert!(takes(&request, &format!("Let me see.\n{OSLO}\n{DAYS}")));
    assert!(!takes(&request, &format!("{OSLO} and text")));
    assert!(!takes(&request, "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>"));
    assert!(!takes(&request, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>"));
    assert!(!takes(&request, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": 3}}\n</tool_call>"));
    assert!(!takes(&request, "text <tool_call>"));
    let bare = "{\n  \"name\": \"weather\",\n  \"arguments\": {\"city\": \"Oslo\"}\n}";
    for called in [bare.to_owned(), format!("```json\n{bare}\n```"), format!("```\n{bare}```")] {
        assert!(takes(&request, &called), "{called}");
        assert!(!takes(&request, &called.replace("Oslo\"", "Oslo\", \"other\": 1")), "{called}");
        assert!(!takes(&request, &called.replace("\n}", ", <tool_call>")), "{called}");
    }
    for text in ["```json\n{\"a\": 1}\n```", "{\"name\": \"unknown\"}", "{}", "```rust\n```"] {
        assert!(takes(&request, text), "{text}");
    }
}

/// After a result the model answers in words, or calls with the marker.
#[test]
fn a_result_is_answered() {
    let mut request = asking(ToolChoice::Auto);
    let output = ToolOutput::Text("rain".to_owned());
    request.input = vec![Arc::new(Item::ToolResult { call_id: CallId("c".to_owned()), output, error: None })];
    assert!(takes(&request, "It rains.") && takes(&request, OSLO) && takes(&request, &format!("Again: {OSLO}")));
    assert!(!takes(&request, "```json\n{}\n```") && !takes(&request, "{\"name\": \"weather\"}"));
    assert!(!takes(&request, &format!("{{}} {OSLO}")));
    request.tool_choice = ToolChoice::None;
    assert!(takes(&request, "It rains.") && !takes(&request, "{}"));
}

#[test]
fn the_choice_of_tools_is_kept() {
    assert!(!takes(&asking(ToolChoice::Required), "Hello"));
    assert!(takes(&asking(ToolChoice::Required), DAYS));
    assert!(takes(&asking(ToolChoice::None), "Hello"));
    assert!(!takes(&asking(ToolChoice::None), OSLO));
    let named = asking(ToolChoice::Function("forecast".to_owned()));
    assert!(takes(&named, DAYS) && !takes(&named, OSLO) && !takes(&named, "Hello"));
    let allowed = asking(ToolChoice::Allowed { names: vec!["weather".to_owned()], required: false });
    assert!(takes(&allowed, OSLO) && !takes(&allowed, DAYS) && takes(&allowed, "Hello"));
    let mut one = asking(ToolChoice::Auto);
    one.parallel_tool_calls = Some(false);
    assert!(takes(&one, OSLO) && !takes(&one, &format!("{OSLO}\n{DAYS}")));
    let unknown = asking(ToolChoice::Function("nothing".to_owned()));
    assert!(grammar(&unknown).unwrap_err().message.contains("`nothing`"));
}

#[test]
fn text_follows_its_format() {
    let mut request = request(vec![]);
    assert_eq!(grammar(&request).unwrap(), None);
    request.text = TextFormat::JsonObject;
    assert!(takes(&request, "{\"a\": [1, null]}") && !takes(&request, "[1]") && !takes(&request, "Hello"));
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    request.text = TextFormat::JsonSchema { name: "n".to_owned(), description: None, schema, strict: Some(true) };
    assert!(takes(&request, "{\"n\": 1}") && !takes(&request, "{\"n\": 1, \"m\": 2}") && !takes(&request, "{}"));
    let tools = asking(ToolChoice::Auto);
    request.tools = tools.tools;
    assert!(takes(&request, "{\"n\": 1}") && takes(&request, OSLO) && !takes(&request, "Hello"));
}

#[test]
fn what_the_schema_leaves_open_is_bounded() {
    let mut request = asking(ToolChoice::Required);
    let call = |city: &str| {
        format!("<tool_call>\n{{\"name\": \"weather\", \"arguments\": {{\"city\": \"{city}\"}}}}\n</tool_call>")
    };
    assert!(takes(&request, &call(&"x".repeat(4096))));
    assert!(!takes(&request, &call(&"x".repeat(4097))));
    let list = json!({ "type": "object", "properties": { "all": { "type": "array", "items": { "type": "integer" } } }, "required": ["all"] });
    request.tools = Arc::from([tool("sum", list)]);
    let call = |count: usize| {
        let all = vec!["1"; count].join(", ");
        format!("<tool_call>\n{{\"name\": \"sum\", \"arguments\": {{\"all\": [{all}]}}}}\n</tool_call>")
    };
    assert!(takes(&request, &call(64)) && !takes(&request, &call(65)));
}

/// A schema's references stay its own, although it stands inside a call.
#[test]
fn references_are_resolved() {
    let parameters = json!({
        "type": "object", "properties": { "p": { "$ref": "#/$defs/point" } }, "required": ["p"],
        "$defs": { "point": { "type": "object", "properties": { "x": { "type": "number" } }, "required": ["x"] } },
    });
    let mut request = asking(ToolChoice::Required);
    request.tools = Arc::from([tool("plot \"it\"", parameters)]);
    let call = |p: &str| {
        format!("<tool_call>\n{{\"name\": \"plot \\\"it\\\"\", \"arguments\": {{\"p\": {p}}}}}\n</tool_call>")
    };
    assert!(takes(&request, &call("{\"x\": 1.5}")) && !takes(&request, &call("{\"x\": \"1\"}")));
}

#[test]
fn a_schema_that_cannot_be_enforced_is_refused_if_it_is_strict() {
    let parameters = json!({ "type": "object", "properties": { "a": { "type": "string", "format": "no-such-format" } }, "required": ["a"] });
    let mut open = tool("odd", parameters);
    let refusal = |tool: FunctionTool| {
        let mut request = asking(ToolChoice::Auto);
        request.tools = Arc::from([tool]);
        let grammar = grammar(&request).unwrap().unwrap();
        let factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).unwrap();
        Matcher::new(factory.create_parser(TopLevelGrammar::from_lark(grammar))).get_error()
    };
    assert_eq!(refusal(open.clone()), None);
    open.strict = Some(true);
    assert!(refusal(open).is_some());
}
