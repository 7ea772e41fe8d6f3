//! One server: its connection, made when it is wanted, made again when it broke, closed when nobody used it for a
//! while; its lists, bounded.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderName;
use rmcp::{
    RoleClient,
    model::{PaginatedRequestParams, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt as _, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, common::client_side_sse::ExponentialBackoff,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    auth::Authorization,
    call, convert,
    failure::{self, Peer},
    handler::{Handler, Heard},
    settings::{Protocol, Reach, Settings},
    stdio,
    subscription::Subscribed,
    wire::{self, Wire},
};
use crate::{
    Call, CallStream, Error, Failure, FailureKind, Listing, Reply, Toolbox,
    egress::{Cause, Purpose, target::Target},
    http::Http,
};

/// Tools of one server: a model cannot choose among more.
const MAX_TOOLS: usize = 2_000;
/// Pages of one list.
const MAX_PAGES: usize = 200;
/// Bytes of all tools of one server, as JSON.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;
/// How often a broken event stream is resumed before the request counts as lost.
const MAX_RESUMES: usize = 5;
/// Before the first resumption; doubles each time.
const RESUME_AFTER: Duration = Duration::from_millis(200);
/// At most between two resumptions.
const RESUME_MOST: Duration = Duration::from_secs(5);
/// Requests that one server is sent at once; more wait, and count as not sent until it is their turn.
const MAX_CONCURRENT: usize = 128;

type Running = RunningService<RoleClient, Handler>;

/// A server of the Model Context Protocol. Cheap to share; clones are the same server.
#[derive(Clone)]
pub struct McpServer(Arc<Inner>);

pub(super) struct Inner {
    settings: Settings,
    /// The endpoint and its HTTP, where it has one.
    wire: Option<Wire>,
    connection: Mutex<Option<Running>>,
    heard: Heard,
    subscribed: Subscribed,
    used: AtomicBool,
}

impl fmt::Debug for McpServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("McpServer").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl McpServer {
    /// Checks the settings; connects to nothing.
    ///
    /// # Errors
    /// `Refused` where they mean nothing.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let wire = match &settings.reach {
            Reach::Http { url, headers, guard, oauth } => {
                let (_, url) = Target::parse(url).map_err(Error::Refused)?;
                let authorization = oauth
                    .clone()
                    .map(|oauth| Authorization::new(oauth, url.clone(), guard.clone(), &settings.name).map(Arc::new));
                let headers = headers.iter().map(|(name, value)| {
                    let name = name.parse::<HeaderName>();
                    name.map(|name| (name, value.clone())).map_err(|_| Error::Refused("a header's name is none".into()))
                });
                let cause = Cause { who: settings.name.as_str().into(), purpose: Purpose::Mcp };
                Some(Wire {
                    http: Http::new(guard.clone(), cause, wire::MAX_IDLE),
                    url: url.as_str().into(),
                    headers: headers.collect::<Result<_, _>>()?,
                    patience: settings.timeouts.idle,
                    idle: settings.timeouts.idle,
                    authorization: authorization.transpose()?,
                })
            }
            Reach::Stdio { program, .. } if program.is_absolute() => None,
            Reach::Stdio { program, .. } => {
                return Err(Error::Refused(format!("program {} is no absolute path", program.display())));
            }
        };
        Ok(Self(Arc::new(Inner {
            settings,
            wire,
            connection: Mutex::default(),
            heard: Heard::default(),
            subscribed: Subscribed::default(),
            used: AtomicBool::new(false),
        })))
    }

    /// How often the server said that its tools have changed. A number that grew says: list again. Servers of
    /// 2026-07-28 say it only once their tools were listed.
    pub fn changed(&self) -> u64 {
        self.0.subscribed.empty(&self.0.heard);
        self.0.heard.tools.load(Ordering::Relaxed)
    }

    /// Closes the connection if nobody used it since the last time this was asked; returns whether there is none now.
    /// To be asked regularly: this crate keeps no clock.
    pub async fn rest(&self) -> bool {
        if self.0.used.swap(false, Ordering::Relaxed) {
            return false;
        }
        self.close().await;
        true
    }

    /// Closes the connection; the next use makes another. Calls in flight end as `Unknown`.
    pub async fn close(&self) {
        let running = self.0.connection.lock().await.take();
        self.0.subscribed.end();
        if let Some(mut running) = running {
            let _ = timeout(self.0.settings.timeouts.connect, running.close()).await;
        }
    }

    pub(super) fn name(&self) -> &str {
        self.0.name()
    }

    pub(super) fn authorization(&self) -> Result<&Authorization, Error> {
        let authorization = self.0.wire.as_ref().and_then(|wire| wire.authorization.as_deref());
        authorization
            .ok_or_else(|| Error::Refused(format!("MCP server `{}` has no OAuth in its settings", self.name())))
    }

    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Peer) -> Result<T, ServiceError>,
    ) -> Result<T, Failure> {
        let (peer, _) = self.0.connected().await?;
        let answer = timeout(self.0.settings.timeouts.request, question(peer)).await;
        self.0.used();
        let name = self.0.name();
        let late = || Failure::new(FailureKind::Unknown, failure::named(name, "no answer in time"));
        answer.map_err(|_| late())?.map_err(|error| failure::of_request(name, error, true))
    }

    async fn listing(&self) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        let mut cursor: Option<String> = None;
        let mut bytes = 0;
        let refuse = |words: String| Failure::new(FailureKind::Unknown, failure::named(self.0.name(), &words));
        for _ in 0..MAX_PAGES {
            let params = cursor.take().map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
            let page = self.ask(async |peer| peer.list_tools(params).await).await?;
            for tool in page.tools {
                bytes += serde_json::to_vec(&tool).map_or(0, |bytes| bytes.len());
                listing.tools.push(convert::tool(tool));
            }
            if listing.tools.len() > MAX_TOOLS {
                return Err(refuse(format!("it lists more than {MAX_TOOLS} tools")));
            }
            if bytes > MAX_LIST_BYTES {
                return Err(refuse(format!("its list of tools is longer than {MAX_LIST_BYTES} bytes")));
            }
            cursor = page.next_cursor.filter(|cursor| !cursor.is_empty());
            if cursor.is_none() {
                let (peer, _) = self.0.connected().await?;
                self.0.subscribed.ask(&peer, self.0.settings.timeouts.request).await;
                if let Some(info) = peer.peer_info() {
                    listing.protocol = Some(info.protocol_version.to_string());
                    listing.server = info.server_info.as_ref().map(|told| format!("{} {}", told.name, told.version));
                }
                return Ok(listing);
            }
        }
        Err(refuse(format!("its list of tools has more than {MAX_PAGES} pages")))
    }
}

impl Toolbox for McpServer {
    fn list(&self) -> Reply<Result<Listing, Failure>> {
        let this = self.clone();
        Box::pin(async move { this.listing().await })
    }

    fn call(&self, call: Call) -> CallStream {
        call::stream(self.0.clone(), call)
    }
}

impl Inner {
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// The connection, made now if there is none that works.
    pub(super) async fn connected(&self) -> Result<(Peer, Heard), Failure> {
        self.used();
        let mut connection = self.connection.lock().await;
        if let Some(running) = connection.as_ref()
            && !running.is_closed()
            && !running.peer().is_transport_closed()
        {
            return Ok((running.peer().clone(), self.heard.clone()));
        }
        *connection = None;
        let late = || Failure::new(FailureKind::NotSent, failure::named(self.name(), "no handshake in time"));
        let running = timeout(self.settings.timeouts.connect, self.connect()).await.map_err(|_| late())??;
        let peer = running.peer().clone();
        *connection = Some(running);
        Ok((peer, self.heard.clone()))
    }

    async fn connect(&self) -> Result<Running, Failure> {
        let handler = Handler(self.heard.clone());
        let name = self.name();
        let lifecycle = self.lifecycle();
        let running = match &self.wire {
            Some(wire) => {
                let config = StreamableHttpClientTransportConfig::with_uri(wire.url.clone());
                let mut config = config.max_concurrent_requests(MAX_CONCURRENT).reinit_on_expired_session(true);
                config.allow_stateless = true;
                let mut backoff = ExponentialBackoff::default();
                backoff.max_times = Some(MAX_RESUMES);
                backoff.base_duration = RESUME_AFTER;
                backoff.max_delay = Some(RESUME_MOST);
                config.retry_config = Arc::new(backoff);
                let transport = StreamableHttpClientTransport::with_client(wire.clone(), config);
                handler.serve_with_lifecycle(transport, lifecycle).await
            }
            None => {
                let process = stdio::start(&self.settings.reach);
                let process = process
                    .map_err(|why| Failure::new(FailureKind::NotSent, failure::named(name, &why.to_string())))?;
                handler.serve_with_lifecycle(process, lifecycle).await
            }
        };
        running.map_err(|error| failure::of_connect(name, &error))
    }

    fn lifecycle(&self) -> ClientLifecycleMode {
        let newest = vec![ProtocolVersion::V_2026_07_28];
        match self.settings.protocol {
            Protocol::Newest => ClientLifecycleMode::Auto {
                preferred_versions: newest,
                legacy_version: Some(ProtocolVersion::V_2025_11_25),
            },
            Protocol::V2026_07_28 => ClientLifecycleMode::Discover { preferred_versions: newest },
            Protocol::V2025_11_25 => ClientLifecycleMode::Initialize,
        }
    }
}
