//! Service tiers in each vendor's words. Ours are OpenAI's; to choose is the provider's default, so that `auto` asks for
//! nothing.

use mainstay_vocabulary::Object;
use serde_json::Value;

/// What the Responses API knows to ask for.
pub(crate) const KNOWN: [&str; 7] = [AUTO, DEFAULT, "flex", "scale", "priority", "fast", "ultrafast"];
/// Asked for where nothing else is.
pub(crate) const AUTO: &str = "auto";
/// What serves where nothing else was said.
pub(crate) const DEFAULT: &str = "default";

/// What a provider is asked for.
pub(crate) fn asked(tier: Option<String>) -> Option<String> {
    tier.filter(|tier| tier != AUTO)
}

/// The tier that served, as a provider reported it, in OpenAI's words.
pub(crate) fn served(reported: &Object) -> Option<&str> {
    match reported.get("service_tier").and_then(Value::as_str)? {
        "standard" | "standard_only" => Some(DEFAULT),
        tier => Some(tier),
    }
}

/// The same in Anthropic's words, where it has one.
pub(crate) fn served_by_anthropic(reported: &Object) -> Option<&'static str> {
    match served(reported)? {
        DEFAULT => Some("standard"),
        "priority" => Some("priority"),
        "batch" => Some("batch"),
        _ => None,
    }
}
