//! Prices as an operator writes them, and as the runtime counts: USD per million tokens to pico-USD per token, exactly.

use anyhow::{Context, Result, bail};
use mainstay_runtime::route;
use serde::Deserialize;

/// Pico-USD per token of one USD per million tokens, and the decimals of that.
const PICO_DECIMALS: usize = 6;

/// USD per million tokens, as decimal text so that nothing is rounded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    input: String,
    cached_input: Option<String>,
    cache_write: Option<String>,
    output: String,
}

impl Price {
    /// What the runtime counts with.
    ///
    /// # Errors
    /// Where a price is not decimal text or has too many decimals.
    pub(crate) fn per_token(&self) -> Result<route::Price> {
        let input = pico(&self.input)?;
        Ok(route::Price {
            input,
            cached_input: self.cached_input.as_deref().map_or(Ok(input), pico)?,
            cache_write: self.cache_write.as_deref().map_or(Ok(input), pico)?,
            output: pico(&self.output)?,
        })
    }
}

/// Pico-USD per token from USD per million tokens: the decimal point moves by six, exactly.
fn pico(text: &str) -> Result<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(decimals) || decimals.len() > PICO_DECIMALS {
        bail!("price {text:?}: USD per million tokens as decimal text, at most {PICO_DECIMALS} decimals");
    }
    format!("{whole}{decimals:0<PICO_DECIMALS$}").parse().with_context(|| format!("price {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::pico;

    #[test]
    fn prices_are_exact() {
        assert_eq!(pico("2.00").unwrap(), 2_000_000);
        assert_eq!(pico("0.2").unwrap(), 200_000);
        assert_eq!(pico("10").unwrap(), 10_000_000);
        assert_eq!(pico("0.000001").unwrap(), 1);
        for text in ["", ".5", "-1", "1.2345678", "1e3", "1.2.3", "99999999999999999999"] {
            assert!(pico(text).is_err(), "{text}");
        }
    }
}
