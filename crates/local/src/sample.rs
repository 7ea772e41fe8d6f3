//! Chooses the next token: penalties, what may be written, temperature, nucleus, and a draw that the inference's key
//! decides, so that the same request gives the same text. Pure, and the same on every machine for the same logits.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use mainstay_vocabulary::inference::Sampling;

/// Where the client does not say. Small models lose the thread at the usual 1.
const DEFAULT_TEMPERATURE: f64 = 0.7;

/// Where the client does not say.
const DEFAULT_TOP_P: f64 = 0.95;

/// Below this the most likely token is taken.
const GREEDY_BELOW: f64 = 1e-3;

/// How far below the best a logit may lie, in units of the temperature: what lies lower has less than 1 in 10⁸ of its
/// chance, and sorting a whole vocabulary would cost more than it gives.
const REACH: f32 = 18.0;

/// One inference's sampler.
#[derive(Debug)]
pub(crate) struct Sampler {
    temperature: f32,
    top_p: f32,
    /// At most so many tokens are looked at.
    top_k: usize,
    presence: f32,
    frequency: f32,
    /// How often each token was written.
    written: HashMap<u32, u16>,
    random: u64,
}

impl Sampler {
    /// The client's seed decides the draws, else `key`, which is the same for every attempt of one inference.
    pub(crate) fn new(sampling: &Sampling, key: &str) -> Self {
        let temperature = sampling.temperature.unwrap_or(DEFAULT_TEMPERATURE);
        Self {
            temperature: if temperature < GREEDY_BELOW { 0.0 } else { temperature as f32 },
            top_p: sampling.top_p.unwrap_or(DEFAULT_TOP_P) as f32,
            top_k: sampling.top_k.filter(|&count| count > 0).map_or(usize::MAX, |count| count as usize),
            presence: sampling.presence_penalty.unwrap_or_default() as f32,
            frequency: sampling.frequency_penalty.unwrap_or_default() as f32,
            written: HashMap::new(),
            random: sampling.seed.map_or_else(|| seed(key), i64::cast_unsigned),
        }
    }

    /// The next token; `None` if none is allowed.
    pub(crate) fn next(&mut self, logits: &[f32], is_allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best: Option<(u32, f32)> = None;
        let mut candidates: Vec<(u32, f32)> = Vec::new();
        let reach = REACH * self.temperature;
        for (token, &logit) in (0..).zip(logits) {
            if logit.is_nan() || !is_allowed(token) {
                continue;
            }
            let logit = logit - self.penalty(token);
            let top = best.map_or(f32::NEG_INFINITY, |(_, top)| top);
            if best.is_none() || logit > top {
                best = Some((token, logit));
            }
            if logit >= top - reach {
                candidates.push((token, logit));
            }
        }
        let (first, top) = best?;
        let token = if self.temperature == 0.0 { first } else { self.draw(candidates, top) };
        *self.written.entry(token).or_default() += 1;
        Some(token)
    }

    fn penalty(&self, token: u32) -> f32 {
        if self.presence == 0.0 && self.frequency == 0.0 {
            return 0.0;
        }
        self.written.get(&token).map_or(0.0, |&times| self.presence + self.frequency * f32::from(times))
    }

    fn draw(&mut self, mut candidates: Vec<(u32, f32)>, top: f32) -> u32 {
        candidates.retain(|(_, logit)| *logit >= top - REACH * self.temperature);
        candidates.sort_unstable_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
        candidates.truncate(self.top_k);
        for candidate in &mut candidates {
            candidate.1 = ((candidate.1 - top) / self.temperature).exp();
        }
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut nucleus = 0.0;
        let mut count = 0;
        while count < candidates.len() && (count == 0 || nucleus < self.top_p * total) {
            nucleus += candidates[count].1;
            count += 1;
        }
        let mut at = self.fraction() * nucleus;
        for (token, weight) in &candidates[..count] {
            at -= weight;
            if at < 0.0 {
                return *token;
            }
        }
        candidates[0].0
    }

    /// From 0 up to 1, without 1. SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.
    fn fraction(&mut self) -> f32 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 40) as f32 / (1_u32 << 24) as f32
    }
}

/// FNV-1a: <http://www.isthe.com/chongo/tech/comp/fnv/>. Nothing secret hangs on it.
fn seed(key: &str) -> u64 {
    key.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
