//! BEAT on a list.

use crate::ports::LiveVersion;

/// Which versions of a service may have entries, and that this one may from now on.
pub(super) fn beat(
    listed: &mut Vec<LiveVersion>,
    version: u32,
    kept_ms: u64,
    quarantine_ms: u64,
    now_ms: u64,
) -> Vec<LiveVersion> {
    listed.retain(|one| one.until_ms > now_ms);
    let until_ms = now_ms + kept_ms;
    let is_alone = listed.is_empty();
    match listed.iter_mut().find(|one| one.version == version) {
        Some(mine) if mine.until_ms >= now_ms + kept_ms / 2 => {}
        Some(mine) => mine.until_ms = until_ms,
        None => {
            let since_ms = if is_alone { 0 } else { now_ms + quarantine_ms };
            listed.push(LiveVersion { version, until_ms, since_ms });
        }
    }
    listed.clone()
}
