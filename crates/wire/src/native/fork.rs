//! A fork: a new session that inherits everything of another up to the end of a turn.

use mainstay_session::{
    State,
    command::Create,
    event::{Created, Kind},
};
use mainstay_vocabulary::{Object, TurnId};

use crate::fields::{Fields, Invalid, metadata};

/// What is asked of a fork.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// The last turn that is inherited; `None` for the last one that is over.
    pub turn: Option<TurnId>,
    metadata: Option<Object>,
}

impl Fork {
    /// Reads the body.
    ///
    /// # Errors
    /// The field that is wrong or not known.
    pub fn read(body: Object) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        let turn = fields.text("turn_id")?.map(|text| read_turn(&text)).transpose()?;
        let metadata = metadata(&mut fields)?;
        match fields.rest().keys().next() {
            Some(unknown) => Err(Invalid::unserved(unknown.as_str())),
            None => Ok(Self { turn, metadata }),
        }
    }

    /// How the new session begins: with what the parent runs with, and its metadata unless others were given.
    pub fn create(self, parent: &State) -> Create {
        Create {
            created: Created {
                kind: Kind::Agent,
                spec: parent.spec.clone(),
                parent: None,
                metadata: self.metadata.unwrap_or_else(|| parent.metadata.clone()),
                agent: parent.agent.clone(),
                echo: parent.echo.clone(),
                unanswered: Vec::new(),
            },
            items: Vec::new(),
            input: None,
        }
    }
}

fn read_turn(text: &str) -> Result<TurnId, Invalid> {
    let wrong = || Invalid::value("turn_id", "'turn_id' is not the id of a turn.");
    text.strip_prefix("turn_").ok_or_else(wrong)?.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::{Sequence, SessionId, Shard};
    use serde_json::json;

    use super::*;

    fn read(body: serde_json::Value) -> Result<Fork, Invalid> {
        Fork::read(body.as_object().cloned().unwrap())
    }

    #[test]
    fn a_turn_is_named_by_its_id_and_unknown_fields_are_refused() {
        let turn = TurnId { session: SessionId::new(Shard(0), [1; 16]), sequence: Sequence(9) };
        assert_eq!(read(json!({ "turn_id": format!("turn_{turn}") })).unwrap().turn, Some(turn));
        assert_eq!(read(json!({ "turn_id": null })).unwrap().turn, None);
        for (body, param) in [
            (json!({ "turn_id": turn }), "turn_id"),
            (json!({ "turn_id": "turn_x" }), "turn_id"),
            (json!({ "turn_id": 7 }), "turn_id"),
            (json!({ "metadata": { "a": 1 } }), "metadata.a"),
            (json!({ "at": 7 }), "at"),
        ] {
            assert_eq!(read(body).unwrap_err().param, param);
        }
    }

    #[test]
    fn metadata_is_inherited_unless_it_is_given() {
        let mut parent = State::unborn(SessionId::new(Shard(0), [1; 16]));
        parent.metadata.insert("a".to_owned(), json!("1"));
        let inherited = read(json!({})).unwrap().create(&parent).created.metadata;
        assert_eq!(inherited, parent.metadata);
        let given = read(json!({ "metadata": {} })).unwrap().create(&parent).created.metadata;
        assert_eq!(given, Object::new());
    }
}
