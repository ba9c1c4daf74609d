//! The Rust of the pages, each block word for word: it compiles, and runs. `tests/docs` looks that none is missing.

/// README.md.
#[tokio::test]
async fn the_readmes_three_lines_run() -> Result<(), Box<dyn std::error::Error>> {
    let cache = tidegate::Manager::builder("memory://").service("billing").build().await?;
    let user: String =
        cache.get_or_fetch("user:profile:42", || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
    assert_eq!(user, "Ada");
    drop(cache);
    Ok(())
}

/// docs/index.md.
#[tokio::test]
async fn the_front_pages_lines_run() -> Result<(), Box<dyn std::error::Error>> {
    use tidegate::Manager;

    let manager = Manager::builder("memory://").service("billing").build().await?;
    let name: String =
        manager.get_or_fetch("user:name:42", || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
    assert_eq!(name, "Ada");
    drop(manager);
    Ok(())
}

/// docs/guide/02-first-cache.md.
mod first_cache {
    use std::sync::atomic::{AtomicU32, Ordering};
    use tidegate::Manager;

    static QUERIES: AtomicU32 = AtomicU32::new(0);

    async fn find_price(_product_id: u32) -> Result<u32, std::io::Error> {
        QUERIES.fetch_add(1, Ordering::Relaxed);
        Ok(1000) // your database here
    }

    #[tokio::main(flavor = "current_thread")]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let cache = Manager::builder("memory://").service("shop").build().await?;
        for n in 0..100 {
            let id = 1 + n % 10;
            let cents: u32 = cache.get_or_fetch(&format!("catalog:price:{id}"), || find_price(id)).await?;
            assert_eq!(cents, 1000);
        }
        assert_eq!(QUERIES.load(Ordering::Relaxed), 10);
        Ok(())
    }

    #[test]
    fn runs() {
        main().expect("the program ends well");
    }
}
