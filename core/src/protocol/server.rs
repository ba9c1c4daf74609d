//! What a server says of itself (the command INFO), as far as it says it, and which of it an operator should look at.
//!
//! Pure: the driver asks, the engine compares with the limits and tells.

use serde::Serialize;

/// A server, by its own words. What it leaves out, or may not be asked, is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerInfo {
    /// `redis` or `valkey`.
    pub software: Option<String>,
    pub version: Option<String>,
    pub uptime_s: Option<u64>,
    pub clients: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// None where there is no limit.
    pub memory_max_bytes: Option<u64>,
    /// What the system has given for each byte in use: `mem_fragmentation_ratio`.
    pub fragmentation: Option<f64>,
    /// `maxmemory_policy`.
    pub policy: Option<String>,
    /// Keys that were dropped for want of memory since the server began.
    pub evictions: Option<u64>,
    /// Whether an append-only file is kept.
    pub append_only: Option<bool>,
    /// `master`, or `replica`.
    pub role: Option<String>,
    pub replicas: Option<u64>,
    /// Those that are in step.
    pub replicas_online: Option<u64>,
    /// How long ago the last of those was heard of, in seconds.
    pub replica_lag_s: Option<u64>,
    /// How many of them count for `min-replicas-to-write`; none where that is not asked for.
    pub replicas_good: Option<u64>,
}

impl ServerInfo {
    /// Reads the answer of INFO. Lines that nobody knows are passed by, as are numbers that are none.
    pub fn read(text: &str) -> Self {
        let field = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
        let valkey = field("valkey_version");
        let replicas = text.lines().filter_map(|line| line.trim().strip_prefix("slave")?.split_once(':'));
        let replicas: Vec<&str> =
            replicas.filter(|(number, _)| number.parse::<u32>().is_ok()).map(|(_, said)| said).collect();
        let said_of = |replica: &str, name: &str| {
            replica.split(',').find_map(|part| Some(part.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
        };
        let online: Vec<&str> =
            replicas.into_iter().filter(|one| said_of(one, "state").as_deref() == Some("online")).collect();
        let lags = online.iter().filter_map(|one| said_of(one, "lag")?.parse::<u64>().ok());
        let role = field("role").map(|role| if role == "slave" { "replica" } else { role }.to_owned());
        Self {
            software: field("redis_version").map(|_| if valkey.is_some() { "valkey" } else { "redis" }.to_owned()),
            version: valkey.or_else(|| field("redis_version")).map(str::to_owned),
            uptime_s: number("uptime_in_seconds"),
            clients: number("connected_clients"),
            memory_bytes: number("used_memory"),
            memory_max_bytes: number("maxmemory").filter(|bytes| *bytes > 0),
            fragmentation: field("mem_fragmentation_ratio").and_then(|ratio| ratio.parse().ok()),
            policy: field("maxmemory_policy").map(str::to_owned),
            evictions: number("evicted_keys"),
            append_only: field("aof_enabled").map(|is_on| is_on == "1"),
            role,
            replicas: number("connected_slaves"),
            replicas_online: number("connected_slaves").map(|_| online.len() as u64),
            replica_lag_s: lags.max(),
            replicas_good: number("min_slaves_good_slaves"),
        }
    }

    /// Whether memory that runs short makes it drop keys that have no life of their own: streams, too.
    pub fn drops_any_key(&self) -> bool {
        self.memory_max_bytes.is_some() && self.policy.as_deref().is_some_and(|policy| policy.starts_with("allkeys"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\nuptime_in_seconds:93\r\n# Clients\r\n\
        connected_clients:-4\r\n# Memory\r\nused_memory:1048576\r\nused_memory_rss:9\r\nmaxmemory:0\r\n\
        maxmemory_policy:allkeys-lru\r\nmem_fragmentation_ratio:1.73\r\n# Persistence\r\n\
        aof_enabled:1\r\n# Stats\r\nevicted_keys:7\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=7001,state=online,offset=5,lag=1\r\nslave1:ip=::1,port=7002,state=wait_bgsave,offset=0,lag=0\r\n";

    #[test]
    fn what_info_says_is_read_and_what_it_leaves_out_is_none() {
        let info = ServerInfo::read(INFO);
        assert_eq!((info.software.as_deref(), info.version.as_deref()), (Some("valkey"), Some("8.0.1")));
        assert_eq!((info.memory_bytes, info.memory_max_bytes), (Some(1_048_576), None), "0 is no limit");
        assert_eq!((info.fragmentation, info.clients), (Some(1.73), None), "a negative number is none");
        assert_eq!((info.evictions, info.append_only, info.uptime_s), (Some(7), Some(true), Some(93)));
        assert_eq!((info.replicas, info.replicas_online, info.replica_lag_s), (Some(2), Some(1), Some(1)));
        assert!(!info.drops_any_key(), "it has no limit");
        assert_eq!(ServerInfo::read(""), ServerInfo::default());
    }

    #[test]
    fn a_replica_is_told_from_its_master_and_a_policy_by_its_limit() {
        let info = ServerInfo::read("role:slave\nmaxmemory:100\nmaxmemory_policy:allkeys-lfu\nredis_version:7.0.1\n");
        assert_eq!((info.role.as_deref(), info.software.as_deref()), (Some("replica"), Some("redis")));
        assert!(info.drops_any_key());
        assert_eq!(ServerInfo::read("min_slaves_good_slaves:0\n").replicas_good, Some(0));
    }
}
