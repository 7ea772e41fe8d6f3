//! The connection to one server: made when it is needed, thrown away when it breaks.

use std::{process::Stdio, sync::Arc, time::Duration};

use mainstay_vocabulary::Object;
use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use rmcp::{
    RoleClient,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation, MetaObject,
        PaginatedRequestParams, ProtocolVersion, RequestMetaObject,
    },
    service::{ClientLifecycleMode, ClientServiceExt, Peer, RunningService},
    transport::{
        StreamableHttpClientTransport, TokioChildProcess, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Settings, Transport, convert, failure, http};
use crate::seam::{Call, Failure, FailureKind, Listing, Returned};

/// Under which the idempotency key stands in `_meta`.
pub(super) const KEY: &str = "mainstay/idempotency_key";
/// Most pages of a list of tools.
const MAX_PAGES: usize = 64;
/// Most tools of a server.
const MAX_TOOLS: usize = 4_096;
/// How long a list of tools may take.
const LIST: Duration = Duration::from_secs(60);
/// Largest answer, bytes.
const MAX_ANSWER: usize = 16 << 20;

type Live = RunningService<RoleClient, ClientConfig>;

/// The connection to one server.
pub(super) struct Link {
    settings: Settings,
    live: Mutex<Option<Arc<Live>>>,
}

impl Link {
    pub(super) fn new(settings: Settings) -> Result<Self, Failure> {
        match &settings.transport {
            Transport::Http { url, headers, guard, .. } => {
                guard.check(url).map_err(|refused| Failure::new(FailureKind::NotSent, refused.0))?;
                http::headers(headers)?;
            }
            Transport::Stdio { program, .. } if !program.is_absolute() => {
                let message = format!("the program {} of an MCP server must have an absolute path", program.display());
                return Err(Failure::new(FailureKind::NotSent, message));
            }
            Transport::Stdio { .. } => {}
        }
        Ok(Self { settings, live: Mutex::new(None) })
    }

    pub(super) async fn list(&self) -> Result<Listing, Failure> {
        let live = self.connected().await?;
        let listed = tokio::time::timeout(LIST, list(live.peer())).await;
        let listed =
            listed.unwrap_or_else(|_| Err(Failure::new(FailureKind::Unknown, self.say("lists no tools in time"))));
        if listed.is_err() {
            self.forget(&live).await;
        }
        let told = live.peer().peer_info().and_then(|info| info.server_info.clone());
        let server = told.map(|told| format!("{} {}", told.name, told.version));
        Ok(Listing { tools: listed?, server })
    }

    pub(super) async fn call(&self, call: Call) -> Result<Returned, Failure> {
        let live = self.connected().await?;
        let mut meta = call.meta;
        meta.insert(KEY.to_owned(), Value::String(call.idempotency_key));
        let mut params = CallToolRequestParams::new(call.tool);
        params.arguments = Some(call.arguments);
        params.meta = Some(RequestMetaObject(meta_of(meta)));
        let answer = tokio::time::timeout(call.timeout, live.peer().call_tool_once(params)).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => return Err(Failure::new(FailureKind::Unknown, self.say("did not answer in time"))),
        };
        match answer {
            Ok(CallToolResponse::Complete(result)) => Ok(convert::returned(result)),
            Ok(CallToolResponse::InputRequired(_)) => {
                Err(Failure::new(FailureKind::Rejected, self.say("asks for an input that nobody here gives")))
            }
            Ok(_) => Err(Failure::new(FailureKind::Unknown, self.say("answers in a form that was not asked for"))),
            Err(error) => {
                let failure = failure::of_call(&error, &self.settings.name);
                if failure::breaks(&error) {
                    self.forget(&live).await;
                }
                Err(failure)
            }
        }
    }

    fn say(&self, what: &str) -> String {
        format!("the MCP server {:?} {what}", self.settings.name)
    }

    async fn connected(&self) -> Result<Arc<Live>, Failure> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.is_closed()) {
            return Ok(Arc::clone(live));
        }
        let connect = tokio::time::timeout(self.settings.connect, self.connect()).await;
        let late = || Err(Failure::new(FailureKind::NotSent, self.say("did not greet in time")));
        let fresh = Arc::new(connect.unwrap_or_else(|_| late())?);
        *live = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    async fn forget(&self, broken: &Arc<Live>) {
        let mut live = self.live.lock().await;
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, broken)) {
            *live = None;
        }
    }

    async fn connect(&self) -> Result<Live, Failure> {
        let client = Implementation::new("mainstay", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(ClientCapabilities::default(), client);
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let started = match &self.settings.transport {
            Transport::Http { url, headers, secret, guard } => {
                let client = http::Client::new(guard.clone(), self.settings.connect)?;
                let mut wanted = StreamableHttpClientTransportConfig::with_uri(url.as_str());
                wanted.custom_headers = http::headers(headers)?;
                wanted.auth_header = secret.as_ref().map(|secret| secret.expose().to_owned());
                wanted.max_json_response_size = MAX_ANSWER;
                wanted.max_sse_event_size = MAX_ANSWER;
                let transport = StreamableHttpClientTransport::with_client(client, wanted);
                config.serve_with_lifecycle(transport, lifecycle).await
            }
            Transport::Stdio { program, arguments, environment } => {
                let mut command = tokio::process::Command::new(program);
                command.args(arguments).env_clear().envs(environment);
                let mut wrapped = CommandWrap::from(command);
                wrapped.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
                let spawned = TokioChildProcess::builder(wrapped).stderr(Stdio::null()).spawn();
                let (transport, _) = spawned.map_err(|error| {
                    Failure::new(FailureKind::NotSent, self.say(&format!("cannot be started: {error}")))
                })?;
                config.serve_with_lifecycle(transport, lifecycle).await
            }
        };
        started.map_err(|error| failure::of_start(&error, &self.settings.name))
    }
}

async fn list(peer: &Peer<RoleClient>) -> Result<Vec<crate::seam::ListedTool>, Failure> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let mut params = PaginatedRequestParams::default();
        params.cursor = cursor;
        let page =
            peer.list_tools(Some(params)).await.map_err(|error| failure::of_call(&error, "asked for its tools"))?;
        tools.extend(page.tools.into_iter().map(convert::listed));
        if tools.len() > MAX_TOOLS {
            let message = format!("it lists more than {MAX_TOOLS} tools");
            return Err(Failure::new(FailureKind::Rejected, message));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(tools);
        }
    }
    Err(Failure::new(FailureKind::Rejected, format!("its list of tools has more than {MAX_PAGES} pages")))
}

fn meta_of(meta: Object) -> MetaObject {
    let mut object = MetaObject::default();
    object.0.extend(meta);
    object
}
