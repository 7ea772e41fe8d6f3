//! How hard to think, where a client counts tokens and the upstream grades.

use mainstay_vocabulary::inference::Reasoning;

/// Most tokens to think that still are little; what gateways commonly take the grades for.
const LOW_TOKENS: u64 = 2_048;

/// Most tokens to think that still are a middling number.
const MEDIUM_TOKENS: u64 = 8_192;

/// The grade that was asked for, or the one that a budget comes to.
pub(crate) fn effort(reasoning: &Reasoning) -> Option<&str> {
    reasoning.effort.as_deref().or_else(|| reasoning.budget_tokens.map(grade))
}

const fn grade(budget_tokens: u64) -> &'static str {
    match budget_tokens {
        0 => "none",
        1..=LOW_TOKENS => "low",
        _ if budget_tokens <= MEDIUM_TOKENS => "medium",
        _ => "high",
    }
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::inference::Reasoning;

    use super::effort;

    #[test]
    fn a_budget_becomes_a_grade_unless_one_was_asked_for() {
        let of = |effort: Option<&str>, budget_tokens| Reasoning {
            effort: effort.map(str::to_owned),
            budget_tokens,
            summary: None,
        };
        assert_eq!(effort(&of(None, None)), None);
        for (budget, expected) in
            [(0, "none"), (1, "low"), (2_048, "low"), (2_049, "medium"), (8_192, "medium"), (8_193, "high")]
        {
            assert_eq!(effort(&of(None, Some(budget))), Some(expected), "{budget}");
        }
        assert_eq!(effort(&of(Some("minimal"), Some(9_000))), Some("minimal"));
    }
}
