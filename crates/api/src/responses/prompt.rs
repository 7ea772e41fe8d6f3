//! Looks up the stored prompt that a request names, and lets it say what the request does not.

use mainstay_runtime::{Caller, Engine, Error as Refused};
use mainstay_session::Refusal;
use mainstay_vocabulary::Object;
use mainstay_wire::responses::{CreateResponse, prompt};

use crate::error::Error;

/// Reads a request for a Response; a prompt that it names is filled in first.
pub(super) async fn read(engine: &Engine, caller: &Caller, mut body: Object) -> Result<CreateResponse, Error> {
    let operator = engine.default_limits();
    let Some(reference) = prompt::take(&mut body)? else { return Ok(CreateResponse::read(body, operator)?) };
    let version = match engine.saved_agent(caller, reference.agent, reference.number).await {
        Err(Refused::Refused(Refusal::AgentNotFound)) if reference.number.is_some() => {
            let latest = engine.saved_agent(caller, reference.agent, None).await;
            return Err(if latest.is_ok() { prompt::version_not_found() } else { prompt::not_found() }.into());
        }
        Err(Refused::Refused(Refusal::AgentNotFound) | Refused::NotFound) => return Err(prompt::not_found().into()),
        other => other?,
    };
    if version.archived_at.is_some() {
        return Err(Error::from(Refusal::Archived).with_param("prompt.id"));
    }
    let shown = reference.fill(&version, &mut body)?;
    let mut request = CreateResponse::read(body, prompt::limits(&version, operator))?;
    request.keep_prompt(shown);
    Ok(request)
}
