//! What each compression saves and costs, by size, on real JSON: `cargo bench -p tidegate --bench compression`. The figures of
//! `docs/values.md` are its output.
//!
//! The JSON is this repository's own lock file of npm packages, cut at its entries; each is a document of about the size.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate::payload::compress::Compression;

const SIZES: [(usize, &str); 6] = [
    (512, "0.5 KB"),
    (1 << 10, "1 KB"),
    (4 << 10, "4 KB"),
    (16 << 10, "16 KB"),
    (64 << 10, "64 KB"),
    (150 << 10, "150 KB"),
];
/// For each figure.
const LASTS: Duration = Duration::from_millis(200);

/// Documents of about `size` bytes.
fn documents(packages: &[String], size: usize) -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    let mut open = String::new();
    // Longer than the file: it is gone through from other places on.
    for at in 0..packages.len() * 12 {
        open.push(if open.is_empty() { '[' } else { ',' });
        open.push_str(&packages[(at * 7 + at / packages.len()) % packages.len()]);
        if open.len() >= size {
            open.push(']');
            documents.push(std::mem::take(&mut open).into_bytes());
        }
        if documents.len() == 16 {
            break;
        }
    }
    documents
}

/// Microseconds for one document, by the fastest of several rounds: the machine is shared.
fn micros(documents: &[Vec<u8>], mut act: impl FnMut(&[u8])) -> f64 {
    let (began, mut best) = (Instant::now(), f64::MAX);
    while began.elapsed() < LASTS {
        let round = Instant::now();
        for document in documents {
            act(document);
        }
        best = best.min(round.elapsed().as_secs_f64() * 1e6 / documents.len() as f64);
    }
    best
}

type Pack = Box<dyn Fn(&[u8]) -> Vec<u8>>;
type Unpack = Box<dyn Fn(&[u8], usize)>;

struct Way {
    name: &'static str,
    pack: Pack,
    unpack: Unpack,
}

fn ours(name: &'static str, compression: Compression) -> Way {
    Way {
        name,
        pack: Box::new(move |document| compression.compress(document).unwrap_or_else(|| document.to_vec())),
        unpack: Box::new(move |packed, len| drop(black_box(compression.decompress(packed, len)))),
    }
}

/// At other levels, to say why not.
fn zstd_at(name: &'static str, level: i32) -> Way {
    Way {
        name,
        pack: Box::new(move |document| zstd::bulk::compress(document, level).expect("it fits")),
        unpack: Box::new(|packed, len| drop(black_box(Compression::Zstd.decompress(packed, len)))),
    }
}

fn zlib_at(name: &'static str, level: u32) -> Way {
    let pack = move |document: &[u8]| {
        let mut packed = Vec::with_capacity(document.len() + 64);
        let mut packer = flate2::Compress::new(flate2::Compression::new(level), true);
        packer.compress_vec(document, &mut packed, flate2::FlushCompress::Finish).expect("it fits");
        packed
    };
    let unpack = |packed: &[u8], len: usize| drop(black_box(Compression::Zlib.decompress(packed, len)));
    Way { name, pack: Box::new(pack), unpack: Box::new(unpack) }
}

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../package-lock.json");
    let text = std::fs::read_to_string(path).expect("the lock file of the npm packages");
    let lock: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let packages: Vec<String> =
        lock["packages"].as_object().expect("it lists them").values().map(ToString::to_string).collect();
    let ways = [
        ours("lz4", Compression::Lz4),
        ours("zstd", Compression::Zstd),
        ours("zlib", Compression::Zlib),
        zstd_at("zstd at level 3", 3),
        zlib_at("zlib at level 6", 6),
    ];
    println!("| | size | stored | compress, µs | decompress, µs |");
    println!("|---|---|---|---|---|");
    for way in &ways {
        for (size, shown) in SIZES {
            let documents = documents(&packages, size);
            let packed: Vec<Vec<u8>> = documents.iter().map(|document| (way.pack)(document)).collect();
            let (before, after) = (total(&documents), total(&packed));
            let packs = micros(&documents, |document| drop(black_box((way.pack)(document))));
            let lengths: Vec<usize> = documents.iter().map(Vec::len).collect();
            let mut at = 0;
            let unpacks = micros(&packed, |packed| {
                (way.unpack)(packed, lengths[at % lengths.len()]);
                at += 1;
            });
            println!(
                "| {} | {shown} | {:.0} % | {packs:.1} | {unpacks:.1} |",
                way.name,
                100.0 * after as f64 / before as f64
            );
        }
    }
}

fn total(documents: &[Vec<u8>]) -> usize {
    documents.iter().map(Vec::len).sum()
}
