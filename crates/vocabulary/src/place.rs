//! Where a deployment runs, and how well that is known.

use serde::{Deserialize, Serialize};

/// Region, jurisdiction and silicon of a deployment. `None` is "unknown", never "anywhere".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Law that applies, e.g. `eu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// The operator's region name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Accelerator, e.g. `h200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silicon: Option<String>,
    /// Who runs the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// How well the rest is known.
    #[serde(default)]
    pub evidence: Evidence,
}

/// Grades of evidence, lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nobody said.
    #[default]
    Unknown,
    /// The operator of this runtime says so.
    Declared,
    /// A region in the endpoint, its TLS name pinned.
    Encoded,
    /// The provider says so per call.
    Reported,
    /// A hardware quote, verified offline.
    Attested,
    /// A hardware quote that covers the accelerator.
    AttestedGpu,
}
