//! How much to think and how to sample: what was asked for, made to fit what the model takes and the limit on output.
//! The limit is money and never rises; thinking counts towards it and shrinks instead.

use mainstay_vocabulary::{
    inference::{Request, Sampling},
    tool::ToolChoice,
};

use super::{
    model::{Form, Rules},
    wire::Thinking,
};
use crate::{http::dropped::Dropped, openai::reasoning::effort};

/// The least that the vendor takes for a budget.
const MIN_BUDGET_TOKENS: u64 = 1_024;

/// The lowest `top_p` that goes together with thinking.
const MIN_TOP_P_THINKING: f64 = 0.95;

/// The highest temperature that the vendor takes.
const MAX_TEMPERATURE: f64 = 1.0;

/// The model does not have it.
const NOT_TAKEN: &str = "not taken by this model";

/// Made up of what was asked for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan<'a> {
    pub(super) max_tokens: u64,
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<&'a str>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

/// Plans one request. `began_unthinking`: the turn under way called tools without a thought that could go back.
pub(super) fn plan<'a>(request: &'a Request, rules: &Rules, began_unthinking: bool, dropped: &mut Dropped) -> Plan<'a> {
    let mut plan = Plan::default();
    let by_budget = match rules.form {
        Form::Budget => true,
        Form::Either => request.reasoning.budget_tokens.is_some(),
        Form::Adaptive => false,
    };
    if by_budget {
        plan.thinking =
            budget(request, began_unthinking, dropped).map(|budget_tokens| Thinking::Enabled { budget_tokens });
    } else {
        adapt(&mut plan, request, rules, dropped);
    }
    let budget_tokens = match plan.thinking {
        Some(Thinking::Enabled { budget_tokens }) => budget_tokens,
        _ => 0,
    };
    let limit = request.sampling.max_output_tokens;
    plan.max_tokens = limit.unwrap_or_else(|| rules.default_max_tokens.saturating_add(budget_tokens));
    sample(&mut plan, &request.sampling, rules, dropped);
    plan
}

/// Whether the model must call a tool, which the vendor does not let it think about first.
fn is_forced(request: &Request) -> bool {
    let forces = match &request.tool_choice {
        ToolChoice::Required | ToolChoice::Function(_) => true,
        ToolChoice::Allowed { required, .. } => *required,
        ToolChoice::Auto | ToolChoice::None => false,
    };
    forces && !request.tools.is_empty()
}

/// Tokens to think, below the limit on output.
fn budget(request: &Request, began_unthinking: bool, dropped: &mut Dropped) -> Option<u64> {
    let limit = request.sampling.max_output_tokens.unwrap_or(u64::MAX);
    let asked = match (request.reasoning.budget_tokens, request.reasoning.effort.as_deref()) {
        (Some(0), _) | (None, None | Some("none")) => return None,
        (Some(tokens), _) => below(limit, tokens.max(MIN_BUDGET_TOKENS)),
        (None, Some(grade)) => tokens_of(grade).min(most(limit)),
    };
    let reason = if is_forced(request) {
        "a tool must be called"
    } else if began_unthinking {
        "the turn began without a thought that could go back"
    } else if asked < MIN_BUDGET_TOKENS {
        "no room under the limit on output"
    } else {
        return Some(asked);
    };
    dropped.note_parameter("reasoning", reason);
    None
}

/// What may be thought where the budget does not fit below the limit: a quarter is left for the answer.
const fn most(limit: u64) -> u64 {
    limit - limit / 4
}

/// A client's own budget, as it is where it fits below the limit.
pub(super) const fn below(limit: u64, budget_tokens: u64) -> u64 {
    if budget_tokens < limit { budget_tokens } else { most(limit) }
}

/// What a grade comes to in tokens, on models that count.
fn tokens_of(grade: &str) -> u64 {
    match grade {
        "minimal" => MIN_BUDGET_TOKENS,
        "low" => 2_048,
        "medium" => 8_192,
        "high" => 16_384,
        _ => 32_768,
    }
}

/// Effort, on models that grade.
fn adapt<'a>(plan: &mut Plan<'a>, request: &'a Request, rules: &Rules, dropped: &mut Dropped) {
    let display = request.reasoning.summary.as_ref().map(|_| "summarized");
    let adaptive = Thinking::Adaptive { display };
    plan.effort = match effort(&request.reasoning) {
        None => {
            plan.thinking = display.map(|_| adaptive);
            None
        }
        Some("none") if !rules.always_thinks => {
            plan.thinking = Some(Thinking::Disabled);
            return;
        }
        Some("none") => {
            dropped.note_parameter("reasoning", "this model always thinks");
            plan.thinking = Some(adaptive);
            Some("low")
        }
        Some(grade) => {
            plan.thinking = Some(adaptive);
            Some(match grade {
                "minimal" => "low",
                "xhigh" if !rules.takes_xhigh => "high",
                grade => grade,
            })
        }
    };
    if plan.thinking.is_some() && is_forced(request) {
        dropped.note_parameter("reasoning", "a tool must be called");
        plan.thinking = None;
    }
}

fn sample(plan: &mut Plan<'_>, asked: &Sampling, rules: &Rules, dropped: &mut Dropped) {
    let thinks = matches!(plan.thinking, Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. }));
    let mut keep = |name: &str, is_taken: bool, reason: &str| {
        if !is_taken {
            dropped.note_parameter(name, reason);
        }
        is_taken
    };
    let reason = if rules.takes_sampling { "not taken while thinking" } else { NOT_TAKEN };
    // 1 is what the vendor takes where nothing is said.
    let temperature = asked.temperature.filter(|temperature| (temperature - 1.0).abs() > f64::EPSILON);
    let top_p = asked.top_p.filter(|top_p| (top_p - 1.0).abs() > f64::EPSILON);
    plan.temperature = temperature.filter(|_| keep("temperature", rules.takes_sampling && !thinks, reason));
    plan.top_k = asked.top_k.filter(|_| keep("top_k", rules.takes_sampling && !thinks, reason));
    plan.top_p =
        top_p.filter(|top_p| keep("top_p", rules.takes_sampling && (!thinks || *top_p >= MIN_TOP_P_THINKING), reason));
    if let Some(temperature) = &mut plan.temperature
        && !keep("temperature", *temperature <= MAX_TEMPERATURE, "taken for 1, the highest that there is")
    {
        *temperature = MAX_TEMPERATURE;
    }
    if rules.takes_one_sampler && plan.temperature.is_some() {
        plan.top_p = plan.top_p.filter(|_| keep("top_p", false, "not taken beside a temperature"));
    }
    let is_zero = |penalty: Option<f64>| penalty.is_none_or(|penalty| penalty == 0.0);
    keep("presence_penalty", is_zero(asked.presence_penalty), NOT_TAKEN);
    keep("frequency_penalty", is_zero(asked.frequency_penalty), NOT_TAKEN);
    keep("seed", asked.seed.is_none(), NOT_TAKEN);
    keep("top_logprobs", asked.top_logprobs.is_none(), NOT_TAKEN);
}
