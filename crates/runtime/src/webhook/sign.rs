//! Signatures as Standard Webhooks has them: <https://www.standardwebhooks.com>.

use data_encoding::BASE64;
use mainstay_vocabulary::Timestamp;
use ring::hmac;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";
/// Fewest and most bytes of a secret, as the standard says.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs what one endpoint is sent.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// The text is no secret of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook's secret is whsec_ and 24 to 64 bytes in base64")]
pub struct SecretError;

impl std::str::FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = BASE64.decode(encoded.as_bytes()).ok().filter(|bytes| BYTES.contains(&bytes.len()));
        bytes.map(|bytes| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))).ok_or(SecretError)
    }
}

impl Secret {
    /// The headers of a message that is sent now.
    pub(super) fn headers(&self, id: &str, now: Timestamp, body: &str) -> Vec<(&'static str, String)> {
        let seconds = now.seconds();
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        let signature = format!("v1,{}", BASE64.encode(tag.as_ref()));
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_example_is_signed_alike() {
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let now = Timestamp(1_614_265_330_000);
        let headers = secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now, r#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(
            headers[1..],
            [("webhook-timestamp", "1614265330".to_owned()), ("webhook-signature", signature.into())]
        );
    }

    #[test]
    fn only_secrets_of_the_standards_length_are_taken() {
        let of = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
        for (text, is_one) in [(of(23), false), (of(24), true), (of(64), true), (of(65), false)] {
            assert_eq!(text.parse::<Secret>().is_ok(), is_one, "{text}");
        }
        assert!("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>().is_err());
        assert!("whsec_not base64".parse::<Secret>().is_err());
    }
}
