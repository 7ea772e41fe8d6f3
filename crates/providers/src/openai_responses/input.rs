//! The items of a request as input items of Responses. Reasoning goes back only to the deployment that made it, with
//! the parts of one upstream item put together again; what is left out is noted with the reason.

use mainstay_vocabulary::{
    Content, Item, Role,
    inference::Request,
    item::{Opaque, ToolOutput},
};

use super::{
    opaque::Origin,
    wire::{self, Part, Said, Thought},
};
use crate::{
    http::dropped::{Dropped, OTHER_DEPLOYMENT},
    openai::call::{CallNames, sound_arguments},
    openai_chat::dialect::Rules,
};

/// What a file without a name is called; servers want one beside its content.
const NAMELESS_FILE: &str = "file";

/// All items of a request, and what was lost of them.
pub(super) fn items<'a>(request: &'a Request, rules: &'static Rules) -> (Vec<wire::Item<'a>>, Dropped) {
    let mut input = Input {
        deployment: &request.deployment,
        rules,
        items: Vec::with_capacity(request.input.len()),
        names: CallNames::default(),
        thoughts: Vec::new(),
        dropped: Dropped::default(),
        place: 0,
    };
    for (place, item) in request.input.iter().enumerate() {
        input.place = place;
        input.item(item);
    }
    input.drop_unsound_reasoning();
    (input.items, input.dropped)
}

struct Input<'a> {
    deployment: &'a str,
    rules: &'static Rules,
    items: Vec<wire::Item<'a>>,
    names: CallNames<'a>,
    /// Where reasoning was written, and for which item of the request.
    thoughts: Vec<(usize, usize)>,
    dropped: Dropped,
    /// Which item of the request is being written.
    place: usize,
}

impl<'a> Input<'a> {
    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Message { role: Role::Assistant, content, phase } => self.answer(content, phase.as_deref()),
            Item::Message { role: Role::User, content, .. } => self.say("user", content),
            Item::Message { role: Role::System, content, .. } => self.say("system", content),
            Item::Message { role: Role::Developer, content, .. } => self.say("developer", content),
            Item::Reasoning { content, summary, opaque } => self.reasoning(content, summary, opaque.as_ref()),
            Item::ToolCall { call_id, name, arguments, provider_call_id, served: _ } => {
                let call_id = self.names.give(call_id, provider_call_id.as_deref());
                self.items.push(wire::Item::FunctionCall { call_id, name, arguments: sound_arguments(arguments) });
            }
            Item::ToolResult { call_id, output, .. } => {
                let output = match output {
                    ToolOutput::Text(text) => Said::Text(text),
                    ToolOutput::Content(parts) => Said::Parts(self.parts(parts)),
                };
                self.items.push(wire::Item::FunctionCallOutput { call_id: self.names.of(call_id), output });
            }
            Item::Compaction { text } => self.push("user", vec![Part::Text { text }]),
            Item::Other(_) => self.dropped.note(self.place, "an item that no model is shown"),
        }
    }

    fn say(&mut self, role: &'static str, content: &'a [Content]) {
        let parts = self.parts(content);
        self.push(role, parts);
    }

    /// Neighbours of one role are joined where the server's chat templates may insist on taking turns.
    fn push(&mut self, role: &'static str, mut parts: Vec<Part<'a>>) {
        match self.items.last_mut() {
            Some(wire::Item::Message { role: last, content: Said::Parts(before), .. })
                if self.rules.joins_same_role && *last == role =>
            {
                before.append(&mut parts);
            }
            _ => self.items.push(wire::Item::Message { role, content: Said::Parts(parts), phase: None }),
        }
    }

    /// What the model said, a message for each part: with a string for its content a message needs no id, and no other
    /// form is taken by every server and schema of this format.
    fn answer(&mut self, content: &'a [Content], phase: Option<&'a str>) {
        for part in content {
            match part {
                Content::Text(text) | Content::Refusal(text) if text.is_empty() => {}
                Content::Text(text) | Content::Refusal(text) => {
                    let content = Said::Text(text);
                    self.items.push(wire::Item::Message { role: "assistant", content, phase });
                }
                Content::Image { .. } | Content::File { .. } | Content::Other(_) => {
                    self.dropped.note(self.place, "an attachment of the assistant");
                }
            }
        }
    }

    fn parts(&mut self, content: &'a [Content]) -> Vec<Part<'a>> {
        content.iter().filter_map(|part| self.part(part)).collect()
    }

    fn part(&mut self, part: &'a Content) -> Option<Part<'a>> {
        match part {
            Content::Text(text) | Content::Refusal(text) => Some(Part::Text { text }),
            Content::Image { url, detail } => {
                Some(Part::Image { image_url: url, detail: detail.as_deref().unwrap_or("auto") })
            }
            Content::File { url, name, .. } if url.starts_with("data:") => {
                let filename = Some(name.as_deref().unwrap_or(NAMELESS_FILE));
                Some(Part::File { filename, file_data: Some(url), file_url: None })
            }
            Content::File { url, .. } => Some(Part::File { filename: None, file_data: None, file_url: Some(url) }),
            Content::Other(_) => {
                self.dropped.note(self.place, "a part of an unknown type");
                None
            }
        }
    }

    fn reasoning(&mut self, content: &'a [String], summary: &'a [String], opaque: Option<&'a Opaque>) {
        let origin = match opaque {
            Some(opaque) if opaque.deployment == self.deployment => Origin::read(&opaque.bytes),
            Some(_) => return self.dropped.note(self.place, OTHER_DEPLOYMENT),
            None => return self.dropped.note(self.place, "reasoning whose maker is unknown"),
        };
        let mut summary = texts(summary, |text| Thought::SummaryText { text });
        let mut content = texts(content, |text| Thought::ReasoningText { text });
        if let Some(wire::Item::Reasoning { id, summary: before, content: shown, encrypted_content }) =
            self.items.last_mut()
            && *id == origin.id
            && !origin.id.is_empty()
            && encrypted_content.is_none()
        {
            before.append(&mut summary);
            shown.append(&mut content);
        } else {
            let id = origin.id;
            self.thoughts.push((self.items.len(), self.place));
            self.items.push(wire::Item::Reasoning { id, summary, content, encrypted_content: None });
        }
        self.close(origin);
    }

    /// Completes the reasoning item that was just written. Encrypted content stands for what was shown: OpenAI refuses
    /// both together; other servers have only the latter.
    fn close(&mut self, origin: Origin<'a>) {
        let Some(wire::Item::Reasoning { content, encrypted_content, .. }) = self.items.last_mut() else { return };
        if !origin.encrypted.is_empty() {
            content.clear();
            *encrypted_content = Some(origin.encrypted);
        }
    }

    /// Whether there is anything that the provider could go on from.
    fn can_go_on(&self, item: &wire::Item<'_>) -> bool {
        match item {
            wire::Item::Reasoning { content, encrypted_content, .. } => {
                encrypted_content.is_some() || (self.rules.shown_reasoning_back && !content.is_empty())
            }
            _ => true,
        }
    }

    /// Takes out what the upstream would refuse the whole request for: reasoning that was cut off before the model
    /// spoke, and reasoning of which only the summary is known.
    fn drop_unsound_reasoning(&mut self) {
        while let Some((index, place)) = self.thoughts.pop() {
            let next = self.items[index + 1..].iter().find(|item| !matches!(item, wire::Item::Reasoning { .. }));
            let reason = match next.is_some_and(is_spoken) {
                false => "reasoning that was cut off",
                true if !self.can_go_on(&self.items[index]) => "reasoning that came without its encrypted content",
                true => continue,
            };
            self.items.remove(index);
            self.dropped.note(place, reason);
        }
    }
}

/// Whether an item is the model's own and more than a thought.
fn is_spoken(item: &wire::Item<'_>) -> bool {
    matches!(item, wire::Item::FunctionCall { .. } | wire::Item::Message { role: "assistant", .. })
}

fn texts<'a>(texts: &'a [String], thought: fn(&'a str) -> Thought<'a>) -> Vec<Thought<'a>> {
    texts.iter().map(String::as_str).filter(|text| !text.is_empty()).map(thought).collect()
}
