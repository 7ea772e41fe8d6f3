//! The sampler on logits made by hand.

use mainstay_vocabulary::inference::Sampling;

use super::Sampler;

fn sampler(sampling: &Sampling, key: &str) -> Sampler {
    Sampler::new(sampling, key)
}

/// How often each of the tokens is drawn in a thousand draws.
fn counts(sampling: &Sampling, logits: &[f32]) -> Vec<u32> {
    let mut counts = vec![0; logits.len()];
    let mut sampler = sampler(sampling, "key");
    for _ in 0..1000 {
        counts[sampler.next(logits, |_| true).unwrap() as usize] += 1;
    }
    counts
}

#[test]
fn the_key_decides_the_draw() {
    let sampling = Sampling { temperature: Some(1.5), ..Sampling::default() };
    let logits: Vec<f32> = (0..50).map(|token| (token % 7) as f32 / 3.0).collect();
    let draw = |key: &str| {
        let mut sampler = sampler(&sampling, key);
        (0..40).map(|_| sampler.next(&logits, |_| true).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw("one"), draw("one"));
    assert_ne!(draw("one"), draw("two"));
    let seeded = Sampling { seed: Some(7), ..sampling.clone() };
    let draw = |key: &str| {
        let mut sampler = sampler(&seeded, key);
        (0..40).map(|_| sampler.next(&logits, |_| true).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw("one"), draw("two"), "the client's seed comes first");
}

#[test]
fn temperature_and_nucleus_shape_the_draw() {
    let logits = [2.0, 1.0, 0.0, -1.0];
    let at = |temperature, top_p| {
        counts(&Sampling { temperature: Some(temperature), top_p: Some(top_p), ..Sampling::default() }, &logits)
    };
    assert_eq!(at(0.0, 1.0), [1000, 0, 0, 0]);
    assert_eq!(at(1.0, 0.1), [1000, 0, 0, 0]);
    assert_eq!(at(1.0, 0.8)[2..], [0, 0], "the two best have 0.88 of the chance");
    let few = Sampling { temperature: Some(2.0), top_p: Some(1.0), top_k: Some(2), ..Sampling::default() };
    let few = counts(&few, &logits);
    assert!(few[1] > 0 && few[2..] == [0, 0], "{few:?}");
    // Of e², e¹, e⁰, e⁻¹ the shares are 0.644, 0.237, 0.087 and 0.032.
    let all = at(1.0, 1.0);
    assert!((590..700).contains(&all[0]) && (190..290).contains(&all[1]) && (5..70).contains(&all[3]), "{all:?}");
}

#[test]
fn penalties_count_what_was_written() {
    let logits = [1.0, 0.9];
    let sampling = Sampling { temperature: Some(0.0), frequency_penalty: Some(0.2), ..Sampling::default() };
    let mut alternating = sampler(&sampling, "");
    let drawn: Vec<u32> = (0..4).map(|_| alternating.next(&logits, |_| true).unwrap()).collect();
    assert_eq!(drawn, [0, 1, 0, 1]);
    let sampling = Sampling { temperature: Some(0.0), presence_penalty: Some(0.2), ..Sampling::default() };
    let mut once = sampler(&sampling, "");
    let drawn: Vec<u32> = (0..4).map(|_| once.next(&logits, |_| true).unwrap()).collect();
    assert_eq!(drawn, [0, 1, 0, 0]);
}

#[test]
fn only_what_is_allowed_is_drawn() {
    let logits = [9.0, f32::NAN, 1.0, f32::NEG_INFINITY];
    let mut sampler = sampler(&Sampling::default(), "");
    assert_eq!(sampler.next(&logits, |token| token > 0), Some(2));
    assert_eq!(sampler.next(&logits, |_| false), None);
    assert_eq!(sampler.next(&logits, |token| token == 3), Some(3), "better an unlikely token than none");
}
