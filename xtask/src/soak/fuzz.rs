//! Builds the fuzz targets of `fuzz/` and lets each run for a while. libFuzzer needs no other compiler than ours: its
//! coverage comes from a pass of LLVM that the stable one runs too. What is found stays under `target/fuzz/found`.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    phase::{Outcome, Phase},
    process::{captured, cargo, expect_success, in_root, root},
};

/// How long each target runs, seconds, unless `MAINSTAY_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 600;
/// Where the workspace of the targets is built, and where they keep what they learn and find.
const BUILT: &str = "target/fuzz";
/// Longest input, bytes: longer ones show little more and cost a lot.
const MAX_INPUT: u32 = 8_192;
/// Most memory, MiB: what takes more is a finding.
const MAX_MEMORY: u32 = 2_048;
/// Longest check of one input, seconds: what takes longer is a finding.
const MAX_CHECK: u32 = 20;

/// What the compiler does besides: counts edges and tells libFuzzer what is compared with what.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// A target, the words it is helped with, and what it starts from.
struct Target {
    name: &'static str,
    words: &'static str,
    starts: &'static str,
}

const TARGETS: [Target; 8] = [
    Target {
        name: "decode_chat",
        words: "fuzz/streams.dict",
        starts: "crates/providers/tests/golden/openai_chat/decode",
    },
    Target {
        name: "decode_responses",
        words: "fuzz/streams.dict",
        starts: "crates/providers/tests/golden/openai_responses/decode",
    },
    Target {
        name: "decode_anthropic",
        words: "fuzz/streams.dict",
        starts: "crates/providers/tests/golden/anthropic/decode",
    },
    Target { name: "wire_openai", words: "fuzz/bodies.dict", starts: "fuzz/seeds/wire_openai" },
    Target { name: "wire_anthropic", words: "fuzz/bodies.dict", starts: "fuzz/seeds/wire_anthropic" },
    Target { name: "socket", words: "fuzz/bodies.dict", starts: "fuzz/seeds/socket" },
    Target { name: "form", words: "fuzz/forms.dict", starts: "fuzz/seeds/form" },
    Target { name: "query", words: "fuzz/queries.dict", starts: "fuzz/seeds/query" },
];

/// The soak: all targets one after another, or the one that was named.
pub(super) fn phase(only: Option<&str>, amount: Option<u64>) -> Phase {
    let only = only.map(str::to_owned);
    let run = move || run(only.as_deref(), amount);
    Phase {
        name: "fuzz",
        shows: "bytes that nobody sends: codecs and parsers keep their rules",
        needs: &[],
        run: Box::new(run),
    }
}

fn run(only: Option<&str>, amount: Option<u64>) -> Result<Outcome> {
    let chosen: Vec<_> = TARGETS.iter().filter(|target| only.is_none_or(|name| name == target.name)).collect();
    ensure!(!chosen.is_empty(), "there is no such target; there are {}", TARGETS.map(|target| target.name).join(", "));
    let seconds = match amount {
        Some(amount) => amount,
        None => asked()?,
    };
    let host = build()?;
    for target in chosen {
        target.run(&host, seconds)?;
    }
    Ok(Outcome::Passed)
}

fn asked() -> Result<u64> {
    match std::env::var("MAINSTAY_FUZZ_SECONDS") {
        Ok(text) => text.parse().with_context(|| format!("MAINSTAY_FUZZ_SECONDS is {text:?}, not a number")),
        Err(_) => Ok(SECONDS),
    }
}

/// Builds all targets; gives the platform they are built for. Named, so that build scripts are built without `FLAGS`.
fn build() -> Result<String> {
    let version = captured(Command::new("rustc").arg("-vV"))?;
    let Some(host) = version.lines().find_map(|line| line.strip_prefix("host: ")) else {
        bail!("rustc does not say its host:\n{version}");
    };
    let mut command = cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--target", host, "--target-dir", BUILT]).env("RUSTFLAGS", FLAGS.join(" "));
    expect_success(&mut command)?;
    Ok(host.to_owned())
}

impl Target {
    fn run(&self, host: &str, seconds: u64) -> Result<()> {
        let (learnt, found) = (format!("{BUILT}/corpus/{}", self.name), format!("{BUILT}/found/{}/", self.name));
        for folder in [&learnt, &found] {
            fs::create_dir_all(root().join(folder)).with_context(|| folder.clone())?;
        }
        let program = root().join(BUILT).join(host).join("release").join(self.name);
        let mut command = in_root(&program.to_string_lossy(), &[]);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={MAX_INPUT}"));
        command.arg(format!("-rss_limit_mb={MAX_MEMORY}")).arg(format!("-timeout={MAX_CHECK}"));
        command.arg(format!("-dict={}", self.words)).arg(format!("-artifact_prefix={found}"));
        command.arg("-print_final_stats=1").args([&learnt, self.starts]);
        expect_success(&mut command).with_context(|| {
            format!("what was found lies in {found}; mend it and keep the input in fuzz/regressions/{}", self.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run_and_has_its_files() {
        let folder = fs::read_dir(root().join("fuzz/targets")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.map(|name| name.trim_end_matches(".rs").to_owned()).collect();
        names.sort();
        let mut known = TARGETS.map(|target| target.name);
        known.sort_unstable();
        assert_eq!(names, known);
        for target in &TARGETS {
            assert!(root().join(target.words).is_file(), "{}", target.words);
            assert!(root().join(target.starts).is_dir(), "{}", target.starts);
        }
    }
}
