//! Who says whether tools may be called: the operator's policies, or the standard one.

use std::{fs, sync::Arc};

use anyhow::{Context, Result, anyhow};
use mainstay_policy::{Act, EffectClass, History, Policies, Question, Runner, Source, ToolCall, VerdictKind};
use mainstay_runtime::hands::{Judge, Question as Asked, Terms, Verdict};
use mainstay_session::effect::{Need, Ruling};
use mainstay_vocabulary::tool::EffectClass as Class;

use crate::config::Config;

/// The judge that the configuration asks for.
pub(crate) fn judge(config: &Config) -> Result<Arc<dyn Judge>> {
    let policy = &config.file.policy;
    if policy.files.is_empty() {
        return Ok(Arc::new(Cedar(Policies::standard())));
    }
    let mut sources = Vec::new();
    if policy.standard {
        sources.push(Source::standard());
    }
    for file in &policy.files {
        let text = fs::read_to_string(file).with_context(|| format!("policy.files: reading {}", file.display()))?;
        sources.push(Source { name: file.display().to_string(), text });
    }
    let loaded = Policies::load(&sources).map_err(|error| anyhow!("policy.files: {error}"))?;
    Ok(Arc::new(Cedar(loaded)))
}

struct Cedar(Policies);

impl Judge for Cedar {
    fn judge(&self, asked: &Asked) -> Ruling {
        let verdict = self.0.decide(&question(asked));
        let terms = verdict.ask.map_or_else(Terms::default, |ask| Terms {
            needs: ask.needs.into_iter().map(|need| Need { role: need.role, quorum: need.quorum }).collect(),
            expires_ms: ask.expires_ms,
            may_edit: ask.edit,
        });
        Ruling {
            verdict: match verdict.kind {
                VerdictKind::Allow => Verdict::Allow,
                VerdictKind::Deny => Verdict::Deny,
                VerdictKind::Ask => Verdict::Ask,
            },
            version: verdict.version.to_string(),
            digest: asked.digest.clone(),
            policies: verdict.policies,
            reasons: verdict.reasons,
            terms,
        }
    }
}

/// What is asked, in the words of policies. What a session has read, called and spent so far is not told yet.
fn question(asked: &Asked) -> Question {
    let runner = if asked.is_mcp { Runner::Mcp } else { Runner::BuiltIn };
    let class = match asked.class {
        Class::ReadOnly => EffectClass::ReadOnly,
        Class::Idempotent => EffectClass::Idempotent,
        Class::Once => EffectClass::Once,
    };
    Question {
        tenant: asked.tenant.0.to_string(),
        principal: asked.principal.0.to_string(),
        roles: Vec::new(),
        agent: asked.agent.clone(),
        session: asked.session.to_string(),
        at: asked.at,
        act: Act::CallTool(ToolCall {
            runner,
            server: asked.is_mcp.then(|| asked.toolset.clone()),
            tool: asked.tool.clone(),
            arguments: serde_json::Value::Object(asked.arguments.clone()),
            class,
            destructive: asked.hints.destructive,
            open_world: asked.hints.open_world,
            approval_asked: asked.approval,
            digest: asked.digest.clone(),
        }),
        history: History::default(),
    }
}
