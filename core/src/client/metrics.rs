//! What a monitoring system scrapes.

use super::Manager;
use crate::engine::metrics::{self, Family};

impl Manager {
    /// Counters and histograms since the manager was made, and what stands now: of the whole manager, also where this is a
    /// view of a namespace or a tenant. `docs/observability/metrics.md` says what each family means.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidegate::engine::metrics::Value;
    ///
    /// let manager = tidegate::Manager::builder("memory://").service("billing").build().await?;
    /// let _: Option<String> = manager.get("user:name:42").await?;
    /// let families = manager.metrics();
    /// let requests = families.iter().find(|family| family.name == "tidegate_requests_total").unwrap();
    /// let misses = requests.samples.iter().find(|sample| sample.labels.contains(&("outcome", "miss".into()))).unwrap();
    /// assert_eq!(misses.value, Value::Count(1));
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn metrics(&self) -> Vec<Family> {
        self.engine.metrics()
    }

    /// The same in Prometheus' text format: what a scrape is answered, as `text/plain; version=0.0.4; charset=utf-8`.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = tidegate::Manager::builder("memory://").service("billing").build().await?;
    /// manager.set("user:name:42", &"Ada", None).await?;
    /// let text = manager.prometheus_text();
    /// assert!(text.contains("tidegate_sets_total{service=\"billing\",role=\"cache\"} 1\n"), "{text}");
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn prometheus_text(&self) -> String {
        metrics::text(&self.metrics())
    }
}
