//! What became of webhooks, in a journal of the tenant's own.

use super::draft::Draft;
use crate::{
    command::Refusal,
    event::{Event, Kind, SettledWebhook},
};

pub(super) fn settle(draft: &mut Draft<'_>, settled: Vec<SettledWebhook>) -> Result<(), Refusal> {
    if draft.state.kind != Kind::Webhook {
        return Err(Refusal::NotFound);
    }
    if !settled.is_empty() {
        draft.push(Event::WebhooksSettled(settled));
    }
    Ok(())
}
