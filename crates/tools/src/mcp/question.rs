//! What a server offers besides tools: resources and prompts, listed, read and got; and the authorization by a person.

use mainstay_vocabulary::{Object, item::Content};
use rmcp::model::{GetPromptRequestParams, PaginatedRequestParams, ReadResourceRequestParams};
use serde_json::Value;

use super::{McpServer, convert, failure};
use crate::{Error, Failure, FailureKind};

/// Entries of one list.
const MAX_ENTRIES: usize = 10_000;
/// Pages of one list.
const MAX_PAGES: usize = 200;

/// One page of a list, and where the next begins.
type Page = (Vec<Value>, Option<String>);

impl McpServer {
    /// Its resources, each as the server describes it.
    ///
    /// # Errors
    /// Where it does not answer, or has none.
    pub async fn resources(&self) -> Result<Vec<Value>, Failure> {
        self.pages(async |this, params| {
            let page = this.ask(async |peer| peer.list_resources(params).await).await?;
            Ok((page.resources.iter().filter_map(|entry| serde_json::to_value(entry).ok()).collect(), page.next_cursor))
        })
        .await
    }

    /// Its templates of resources, each as the server describes it.
    ///
    /// # Errors
    /// As [`McpServer::resources`].
    pub async fn resource_templates(&self) -> Result<Vec<Value>, Failure> {
        self.pages(async |this, params| {
            let page = this.ask(async |peer| peer.list_resource_templates(params).await).await?;
            let entries = page.resource_templates.iter().filter_map(|entry| serde_json::to_value(entry).ok());
            Ok((entries.collect(), page.next_cursor))
        })
        .await
    }

    /// Its prompts, each as the server describes it.
    ///
    /// # Errors
    /// As [`McpServer::resources`].
    pub async fn prompts(&self) -> Result<Vec<Value>, Failure> {
        self.pages(async |this, params| {
            let page = this.ask(async |peer| peer.list_prompts(params).await).await?;
            Ok((page.prompts.iter().filter_map(|entry| serde_json::to_value(entry).ok()).collect(), page.next_cursor))
        })
        .await
    }

    /// What a resource holds.
    ///
    /// # Errors
    /// Where it does not answer, or there is no such resource.
    pub async fn read(&self, uri: &str) -> Result<Vec<Content>, Failure> {
        let params = ReadResourceRequestParams::new(uri);
        let found = self.ask(async |peer| peer.read_resource(params).await).await?;
        let found = serde_json::to_value(found).unwrap_or_default();
        let contents = found.get("contents").and_then(Value::as_array).cloned().unwrap_or_default();
        let embedded = |inner| convert::part(serde_json::json!({ "type": "resource", "resource": inner }));
        Ok(contents.into_iter().map(embedded).collect())
    }

    /// The messages of a prompt: who speaks, and what.
    ///
    /// # Errors
    /// Where it does not answer, or there is no such prompt.
    pub async fn prompt(&self, name: &str, arguments: Object) -> Result<Vec<(String, Content)>, Failure> {
        let params = GetPromptRequestParams::new(name).with_arguments(arguments);
        let found = self.ask(async |peer| peer.get_prompt(params).await).await?;
        let found = serde_json::to_value(found).unwrap_or_default();
        let messages = found.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
        let said = |message: Value| {
            let role = message.get("role").and_then(Value::as_str).unwrap_or("user").to_owned();
            (role, convert::part(message.get("content").cloned().unwrap_or_default()))
        };
        Ok(messages.into_iter().map(said).collect())
    }

    async fn pages(
        &self,
        page: impl AsyncFn(&Self, Option<PaginatedRequestParams>) -> Result<Page, Failure>,
    ) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.take().map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
            let (entries, next) = page(self, params).await?;
            all.extend(entries);
            cursor = next.filter(|cursor| !cursor.is_empty());
            if cursor.is_none() && all.len() <= MAX_ENTRIES {
                return Ok(all);
            }
        }
        let words = format!("the list has more than {MAX_ENTRIES} entries or {MAX_PAGES} pages");
        Err(Failure::new(FailureKind::Unknown, failure::named(self.name(), &words)))
    }

    /// Whether the server refused us in a way that only a person's consent helps.
    pub async fn wants_consent(&self) -> bool {
        match self.authorization() {
            Ok(authorization) => authorization.waits().await,
            Err(_) => false,
        }
    }

    /// Begins a person's consent: the address to open. What a server asked for when it last refused is asked for.
    ///
    /// # Errors
    /// Where the server has no OAuth in its settings, or no authorization server was found.
    pub async fn authorize(&self) -> Result<String, Error> {
        self.authorization()?.begin().await
    }

    /// Ends it: the whole address to which the browser was sent back. The next use sends the new token.
    ///
    /// # Errors
    /// Where nothing was begun, the answer is not from whom it should be, or no token was given.
    pub async fn authorized(&self, callback: &str) -> Result<(), Error> {
        self.authorization()?.finish(callback).await
    }
}
