//! What must be true of a session in the end, whatever was killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    super::{
        client::{Broken, Shared, text},
        stream::{compare, read},
        world::{ANSWER, ASIDE, BREAKING, BYE, Tally},
    },
    SESSIONS, Session, after, beginning,
};
use crate::{
    http::{Request, data, field},
    random::Random,
};

impl Session {
    /// All that must be true of it in the end.
    pub(in crate::kill) async fn check(
        &self,
        shared: &Shared,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let last = self.seen.events.last().cloned().unwrap_or_default();
        let is_last = |event: &str| event == last;
        let whole = read(shared, &after(&self.id, &beginning(&self.id), false), is_last).await?;
        compare(shared, &self.id, &self.seen.events, &whole)?;
        let cursors = self.seen.cursors(random);
        for &cursor in &cursors {
            let id = field(&whole[cursor - 1], "id").unwrap_or_default();
            let rest = read(shared, &after(&self.id, id, random.once_in(2)), is_last).await?;
            compare(shared, &format!("{} after {id}", self.id), &whole[cursor..], &rest)?;
        }
        for (what, count) in [
            ("sessions", 1),
            ("inputs", self.said.len()),
            ("tool results", self.outputs.len()),
            ("broken streams", self.seen.breaks.len()),
            ("cursors", cursors.len()),
            ("events", whole.len()),
        ] {
            tally.check(what, count);
        }
        let shown = self.check_events(shared, &whole)?;
        self.check_items(shared, &shown).await?;
        self.check_turns(shared).await
    }

    /// Ids are used once, a call is handed out once; the items as they were shown last, by id.
    fn check_events(&self, shared: &Shared, whole: &[String]) -> Result<BTreeMap<String, Value>, Broken> {
        let mut items = BTreeMap::new();
        let mut added = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for event in whole {
            if !ids.insert(field(event, "id")) {
                return Err(shared.find(format!("{}: two events with one id: {event}", self.id)));
            }
            let Some(change) = field(event, "event").and_then(|kind| kind.strip_prefix("agent.session.turn.item."))
            else {
                continue;
            };
            let item = data(event)["item"].clone();
            let call = (text(&item, "type").to_owned(), text(&item, "call_id").to_owned());
            if change == "added" && !call.1.is_empty() && !added.insert(call) {
                return Err(shared.find(format!("{}: shown twice as new: {item}", self.id)));
            }
            items.insert(text(&item, "id").to_owned(), item);
        }
        Ok(items)
    }

    /// The list holds what the stream showed, and everything that was acknowledged, once.
    async fn check_items(&self, shared: &Shared, shown: &BTreeMap<String, Value>) -> Result<(), Broken> {
        let items = shared.list(&format!("{SESSIONS}/{}/items", self.id)).await?;
        let mut listed = BTreeMap::new();
        for item in &items {
            if listed.insert(text(item, "id").to_owned(), item.clone()).is_some() {
                return Err(shared.find(format!("{}: listed twice: {item}", self.id)));
            }
        }
        let differs = listed.iter().find(|(id, item)| shown.get(*id) != Some(item));
        let missing = shown.iter().find(|(id, _)| !listed.contains_key(*id));
        if let Some((id, item)) = differs.or(missing) {
            let (shown, listed) = (shown.get(id), listed.get(id));
            return Err(shared.find(format!("{}: shown and listed differ: {item}\n  {shown:?}\n  {listed:?}", self.id)));
        }
        for (words, _) in &self.said {
            let is_it = |item: &&Value| item["role"] == "user" && item["content"][0]["text"] == **words;
            self.once(shared, words, items.iter().filter(is_it).count())?;
        }
        for (call, output) in &self.outputs {
            let is_it = |item: &&Value| item["type"] == "function_call_output" && item["call_id"] == **call;
            self.once(shared, call, items.iter().filter(is_it).count())?;
            let is_ours = |item: &&Value| is_it(item) && item["output"] == **output;
            self.once(shared, output, items.iter().filter(is_ours).count())?;
        }
        match items.iter().find(|item| !is_whole(item)) {
            Some(item) => Err(shared.find(format!("{}: not what the model said: {item}", self.id))),
            None => Ok(()),
        }
    }

    fn once(&self, shared: &Shared, what: &str, count: usize) -> Result<(), Broken> {
        if count == 1 { Ok(()) } else { Err(shared.find(format!("{}: {what:?} is there {count} times", self.id))) }
    }

    /// All turns are over, and together they used what the session used.
    async fn check_turns(&self, shared: &Shared) -> Result<(), Broken> {
        let session = shared.expect(&Request::get(format!("{SESSIONS}/{}", self.id)), 200).await?;
        let turns = shared.list(&format!("{SESSIONS}/{}/turns", self.id)).await?;
        let is_over = |turn: &&Value| matches!(text(turn, "status"), "completed" | "failed" | "cancelled");
        if let Some(turn) = turns.iter().find(|turn| !is_over(turn)) {
            return Err(shared.find(format!("{}: not over: {turn}", self.id)));
        }
        for count in ["input_tokens", "output_tokens", "total_tokens"] {
            let sum: u64 = turns.iter().filter_map(|turn| turn["usage"][count].as_u64()).sum();
            if session["usage"][count] != sum {
                return Err(shared.find(format!("{}: {count} of the turns: {sum}, of {session}", self.id)));
            }
        }
        Ok(())
    }
}

/// Whether a completed answer is what the script says, whole.
fn is_whole(item: &Value) -> bool {
    if item["role"] != "assistant" || item["status"] != "completed" {
        return true;
    }
    let said = text(&item["content"][0], "text");
    [ASIDE, ANSWER, BREAKING, BYE].contains(&said) || said.starts_with("You said: ")
}
