//! A model's own chat template (Jinja), rendered the way its authors render it, byte for byte the same each time:
//! no clock, no randomness, keys in the order in which they came. Knows nothing of tokens.

mod json;
#[cfg(test)]
mod tests;

use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde_json::json;

pub(crate) use self::json::to_python;

/// What marks a call in the format that templates of the Hermes family teach, and that `grammar` enforces.
pub(crate) const CALL_MARKER: &str = "<tool_call>";

/// Steps that one rendering may take; the longest template in use takes a few dozen for each message.
const FUEL: u64 = 10_000_000;

/// A compiled template and what was found out about it.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    /// It shows tools and calls in the format that `grammar` enforces.
    pub(crate) shows_tools: bool,
    /// It takes system messages.
    pub(crate) has_system: bool,
    /// Two messages of one role may follow each other.
    pub(crate) repeats_roles: bool,
}

impl Template {
    /// Compiles a template. `bos` and `eos` are the texts of the model's own tokens.
    pub(crate) fn new(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", json::filter);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        let compiled = environment.add_template_owned("chat", source.to_owned());
        compiled.map_err(|error| format!("its chat template does not compile: {error:#}"))?;
        let mut template = Self {
            environment,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
            shows_tools: false,
            has_system: true,
            repeats_roles: true,
        };
        template.probe()?;
        Ok(template)
    }

    /// Finds out what the template can do, by letting it.
    fn probe(&mut self) -> Result<(), String> {
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let none = json!(null);
        let plain = self.render(&json!([message("user", "probe-u")]), &none, true)?;
        if !plain.contains("probe-u") {
            return Err("its chat template does not show what the user says".to_owned());
        }
        let system = self.render(&json!([message("system", "probe-s"), message("user", "probe-u")]), &none, true);
        self.has_system = system.is_ok_and(|text| text.contains("probe-s"));
        let twice = self.render(&json!([message("user", "probe-u"), message("user", "probe-v")]), &none, true);
        self.repeats_roles = twice.is_ok_and(|text| text.contains("probe-u") && text.contains("probe-v"));
        self.shows_tools = self.probe_tools();
        Ok(())
    }

    /// Tools are left to the template only if it shows the tool, the call and the result, and the call in our format.
    fn probe_tools(&self) -> bool {
        let call = json!({ "id": "c", "type": "function", "function": { "name": "probe_f", "arguments": { "a": 1 } } });
        let messages = json!([
            { "role": "user", "content": "probe-u" },
            { "role": "assistant", "content": "", "tool_calls": [call] },
            { "role": "tool", "content": "probe-r", "tool_call_id": "c", "name": "probe_f" },
        ]);
        let parameters = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
        let function = json!({ "name": "probe_f", "description": "probe-d", "parameters": parameters });
        let tools = json!([{ "type": "function", "function": function }]);
        let in_format = format!("{CALL_MARKER}\n{{\"name\": \"probe_f\", \"arguments\": {{\"a\": 1}}}}\n</tool_call>");
        let shown = self.render(&messages, &tools, true);
        shown.is_ok_and(|text| ["probe-d", "probe-r", &in_format].iter().all(|part| text.contains(part)))
    }

    /// Renders messages, and tools where there are any (`null` where not), ready for the assistant to go on.
    pub(crate) fn render(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        let template = self.environment.get_template("chat").map_err(|error| error.to_string())?;
        let tools = if tools.is_null() { Value::from(()) } else { Value::from_serialize(tools) };
        let context = context! {
            messages => Value::from_serialize(messages),
            tools,
            add_generation_prompt,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        template.render(context).map_err(|error| format!("its chat template fails: {error:#}"))
    }
}
