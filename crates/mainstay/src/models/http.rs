//! A source that is an address: reads it into the partial file, goes on where an earlier read stopped, and asks again
//! when the connection breaks.

use std::time::Duration;

use anyhow::Error;
use mainstay_providers::download::{Download, DownloadError};

use super::{
    partial::Partial,
    progress::Progress,
    stop::{Stop, refuse},
};

/// Most connections for one file in one pull.
const ATTEMPTS: u32 = 4;

/// Before the second connection; doubled before each after it.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a file is on a hub: the layout that hubs share.
pub(crate) fn hub_address(hub: &str, address: &str) -> String {
    let mut parts = address.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (owner, repository, file) = (part(), part(), part());
    format!("{}/{owner}/{repository}/resolve/main/{file}", hub.trim_end_matches('/'))
}

/// Reads the file at `address` to its end.
pub(crate) fn read(address: &str, partial: &mut Partial, progress: &mut Progress) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::Here(Error::new(error).context("starting the network")))?;
    runtime.block_on(async {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let before = partial.bytes();
            match once(address, partial, progress).await {
                // A server that sent nothing will not send more.
                Err(Stop::Broken(reason)) if attempt < ATTEMPTS && (partial.bytes() != before || attempt > 1) => {
                    progress.again(&format!("{reason:#}"));
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        Ok(())
    })
}

async fn once(address: &str, partial: &mut Partial, progress: &mut Progress) -> Result<(), Stop> {
    let earlier = partial.earlier(address);
    let mut download = Download::open(address, earlier.as_ref()).await.map_err(stop)?;
    partial.begin(download.start(), download.total())?;
    partial.note(address, download.validator())?;
    if download.start() > 0 {
        progress.resumed(download.start());
    }
    progress.begin("got", download.start(), download.total());
    while let Some(piece) = download.piece().await.map_err(stop)? {
        partial.append(&piece)?;
        progress.advance(partial.bytes());
    }
    if download.total().is_some_and(|total| total != partial.bytes()) {
        refuse!("it ended after {} of {} bytes", partial.bytes(), download.total().unwrap_or_default());
    }
    Ok(())
}

fn stop(error: DownloadError) -> Stop {
    match error {
        DownloadError::Broken(_) => Stop::Broken(error.into()),
        DownloadError::Refused(_) => Stop::Refused(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::hub_address;

    #[test]
    fn hub_addresses_follow_the_layout() {
        assert_eq!(hub_address("http://h/", "o/r/f.gguf"), "http://h/o/r/resolve/main/f.gguf");
        assert_eq!(hub_address("http://h/x", "o/r/a/f.gguf"), "http://h/x/o/r/resolve/main/a/f.gguf");
    }
}
