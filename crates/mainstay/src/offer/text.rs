//! Offers as people and scripts read them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Offer, Offers, Reach};

impl Offer {
    /// The models, the default of this provider first.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.deployments.iter().map(|deployment| deployment.model.as_str())
    }

    /// Where a prompt goes, in words.
    pub(crate) fn destination(&self) -> String {
        match self.reach {
            Reach::Here => "stays on this machine".to_owned(),
            Reach::Away => format!("data leaves this machine for {}", self.provider.name),
        }
    }
}

impl Offers {
    /// A line for each offer, then what was left alone.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for offer in &self.offered {
            let models = offer.models().collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "  {models}\n      {}; {}", offer.because, offer.destination());
        }
        for reason in &self.passed_over {
            let _ = writeln!(text, "  not offered: {reason}");
        }
        text
    }

    /// The same for scripts.
    pub(crate) fn json(&self) -> Value {
        let offers = self.offered.iter().map(|offer| {
            json!({
                "provider": offer.provider.name,
                "models": offer.models().collect::<Vec<_>>(),
                "because": offer.because,
                "leaves_this_machine": offer.reach == Reach::Away,
            })
        });
        json!({ "offers": offers.collect::<Vec<_>>(), "passed_over": self.passed_over })
    }
}
