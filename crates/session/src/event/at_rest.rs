//! How an event stands at rest: the number of its type, and what of it may be kept where no content may.

use std::sync::Arc;

use mainstay_vocabulary::Object;

use super::{
    CallOpened, CallOutcome, Created, Event, InferenceOutcome, Input, LateOutcome, TurnOptions, TurnStarted, TurnStatus,
};
use crate::effect::{
    Answer, ApprovalAnswered, ApprovalAsked, CallIntended, CallLost, CallResolved, Resolution, Ruling,
};

impl Event {
    /// The type number in the envelope; never reused.
    pub const fn number(&self) -> u16 {
        match self {
            Self::SessionCreated(_) => 1,
            Self::SpecChanged(_) => 2,
            Self::MetadataChanged(_) => 3,
            Self::InputAccepted(_) => 4,
            Self::TurnStarted(_) => 5,
            Self::InputIncorporated { .. } => 6,
            Self::InferenceIntended(_) => 7,
            Self::ItemCompleted(_) => 8,
            Self::ItemInterrupted(_) => 9,
            Self::InferenceEnded(_) => 10,
            Self::CallOpened(_) => 11,
            Self::CallClosed { .. } => 12,
            Self::TurnEnded(_) => 13,
            Self::OutcomeAfterCancel(_) => 14,
            Self::ItemsAdded(_) => 15,
            Self::ItemHidden { .. } => 16,
            Self::TurnHidden { .. } => 17,
            Self::Recovered { .. } => 18,
            Self::SessionDeleted => 19,
            Self::AgentSaved { .. } => 20,
            Self::AgentDeleted { .. } => 21,
            Self::AgentArchived { .. } => 37,
            Self::EchoChanged(_) => 38,
            Self::SessionArchived => 39,
            Self::Withheld => 22,
            Self::CompactionAsked => 23,
            Self::ContextReplaced(_) => 24,
            Self::CompactionSkipped => 25,
            Self::GatewayBooked(_) => 34,
            Self::FileBegun(_) => 32,
            Self::FilePart(_) => 33,
            Self::FileCompleted { .. } => 35,
            Self::AutomationSaved(_) => 26,
            Self::AutomationPaused { .. } => 27,
            Self::AutomationResumed { .. } => 28,
            Self::InvocationBegun(_) => 29,
            Self::InvocationEnded { .. } => 30,
            Self::WebhooksSettled(_) => 31,
            Self::ToolsListed(_) => 40,
            Self::CallIntended(_) => 41,
            Self::CallLost(_) => 42,
            Self::ApprovalAsked(_) => 43,
            Self::ApprovalAnswered(_) => 44,
            Self::CallResolved(_) => 45,
        }
    }

    /// What of this event may be at rest under `Retention::ReceiptOnly`: receipts and places, no content.
    #[must_use]
    pub fn without_content(&self) -> Self {
        if let Some(kept) = self.of_ledger() {
            return kept;
        }
        match self {
            Self::TurnStarted(started) => Self::TurnStarted(TurnStarted { unanswered: Vec::new(), ..started.clone() }),
            Self::ContextReplaced(replaced) => Self::ContextReplaced(Box::new(replaced.without_content())),
            Self::GatewayBooked(_)
            | Self::AutomationPaused { .. }
            | Self::AutomationResumed { .. }
            | Self::InvocationBegun(_)
            | Self::WebhooksSettled(_)
            | Self::CompactionAsked
            | Self::CompactionSkipped
            | Self::InputIncorporated { .. }
            | Self::InferenceIntended(_)
            | Self::Recovered { .. }
            | Self::OutcomeAfterCancel(LateOutcome::Inference { .. })
            | Self::SessionDeleted
            | Self::SessionArchived
            | Self::Withheld => self.clone(),
            Self::SessionCreated(created) => Self::SessionCreated(Box::new(created.without_content())),
            Self::SpecChanged(spec) => Self::SpecChanged(Arc::new(spec.without_content())),
            Self::InferenceEnded(ended) => {
                let mut ended = ended.clone();
                // An upstream's message may quote the prompt.
                if let InferenceOutcome::Failed(failure) = &mut ended.outcome {
                    failure.message.clear();
                }
                Self::InferenceEnded(ended)
            }
            Self::TurnEnded(ended) => {
                let mut ended = ended.clone();
                if let TurnStatus::Failed(error) = &mut ended.status {
                    error.message.clear();
                }
                Self::TurnEnded(ended)
            }
            Self::InputAccepted(input) => Self::InputAccepted(Input {
                items: Vec::new(),
                delivery: input.delivery,
                options: TurnOptions { echo: Object::new(), ..input.options.clone() },
            }),
            Self::MetadataChanged(_)
            | Self::CallClosed { .. }
            | Self::CallIntended(_)
            | Self::CallLost(_)
            | Self::ApprovalAsked(_)
            | Self::ApprovalAnswered(_)
            | Self::CallResolved(_)
            | Self::ToolsListed(_)
            | Self::EchoChanged(_)
            | Self::ItemCompleted(_)
            | Self::ItemInterrupted(_)
            | Self::CallOpened(_)
            | Self::OutcomeAfterCancel(LateOutcome::Call(_))
            | Self::ItemsAdded(_)
            | Self::ItemHidden { .. }
            | Self::TurnHidden { .. }
            | Self::AgentSaved { .. }
            | Self::AgentArchived { .. }
            | Self::AgentDeleted { .. }
            | Self::FileBegun(_)
            | Self::FilePart(_)
            | Self::AutomationSaved(_)
            | Self::InvocationEnded { .. }
            | Self::FileCompleted { .. } => Self::Withheld,
        }
    }

    /// The same for an event of the ledger: that something may have been done stays; with what, does not.
    fn of_ledger(&self) -> Option<Self> {
        Some(match self {
            Self::CallOpened(call) if call.served.is_some() => {
                Self::CallOpened(CallOpened { arguments: String::new(), ..call.clone() })
            }
            Self::CallIntended(intended) => {
                Self::CallIntended(CallIntended { arguments: None, of: None, ..intended.clone() })
            }
            Self::ApprovalAsked(asked) => {
                let ruling = Ruling { reasons: Vec::new(), ..asked.ruling.clone() };
                Self::ApprovalAsked(Box::new(ApprovalAsked { ruling, of: None, ..(**asked).clone() }))
            }
            Self::ApprovalAnswered(answered) => {
                let mut answered = ApprovalAnswered { reason: None, ..answered.clone() };
                if let Answer::Approve { arguments } = &mut answered.answer {
                    *arguments = None;
                }
                Self::ApprovalAnswered(answered)
            }
            Self::CallResolved(resolved) => Self::CallResolved(Box::new(CallResolved {
                resolution: match &resolved.resolution {
                    // That something happened is content too: what it was is not kept, so nobody will know.
                    Resolution::Happened(_) => Resolution::Abandoned,
                    other => other.clone(),
                },
                reason: None,
                ..(**resolved).clone()
            })),
            Self::CallLost(lost) => Self::CallLost(CallLost { why: String::new(), ..lost.clone() }),
            Self::CallClosed { call_id, .. } => {
                Self::CallClosed { call_id: call_id.clone(), outcome: CallOutcome::Refused(String::new()) }
            }
            _ => return None,
        })
    }
}

impl Created {
    fn without_content(&self) -> Self {
        Self {
            kind: self.kind,
            spec: Arc::new(self.spec.without_content()),
            parent: self.parent,
            metadata: Object::new(),
            agent: self.agent.clone(),
            echo: Object::new(),
            unanswered: Vec::new(),
        }
    }
}
