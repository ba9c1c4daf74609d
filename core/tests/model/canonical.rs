//! Makes states that mean the same the same, so that models stay small: generations, nonces and versions are renamed in
//! their order, what carries a generation that is gone for good is worth nothing whatever it was called.

use super::mutation::Mutation;
use super::server::{Command, Grant};
use super::world::World;
use super::writer::Writer;

/// The names of generations: the one that stands at a key, and all that never will again.
const STANDING: u8 = 1;
const GONE: u8 = 2;

impl World {
    pub fn make_canonical(&mut self, m: Mutation) {
        // Their generations come back, or need not stand to be stored under.
        let is_unfenced = matches!(m, Mutation::NoFence | Mutation::UnconditionalSet) || m.has_one_number();
        if !is_unfenced {
            self.rename_generations();
        }
        if m != Mutation::NonceOfTheClient {
            self.rename_nonces();
        }
        self.rename_versions();
    }

    fn rename_generations(&mut self) {
        let standing = self.server.rows.map(|row| row.lease.map_or(0, |lease| lease.g));
        let rename = |key: usize, grant: &mut Grant| match grant.g {
            0 => {}
            g if g == standing[key] => grant.g = STANDING,
            _ => *grant = Grant { g: GONE, n: 0 },
        };
        for reader in &mut self.readers {
            rename(reader.key, &mut reader.grant);
            reader.unheard.iter_mut().for_each(|grant| rename(reader.key, grant));
            reader.entry.iter_mut().for_each(|entry| rename(reader.key, &mut entry.by));
            reader.is_exclusive &= reader.grant.g != GONE;
        }
        for (at, writer) in self.writers.iter_mut().enumerate() {
            if let Writer::Begun { g } | Writer::Persisted { g, .. } = writer
                && *g != 0
            {
                *g = if *g == standing[self.written[at]] { STANDING } else { GONE };
            }
        }
        for copy in &mut self.copies {
            let Some(sent) = copy else { continue };
            match &mut sent.command {
                Command::Fill { key, grant, .. }
                | Command::Renew { key, grant }
                | Command::Release { key, grant }
                | Command::Pass { key, grant } => {
                    rename(*key, grant);
                    // Its answer interests nobody, and it changes nothing any more.
                    if grant.g == GONE {
                        *copy = None;
                    }
                }
                // An invalidation all the same.
                Command::Commit { key, g, .. } if *g != 0 => *g = if *g == standing[*key] { STANDING } else { GONE },
                _ => {}
            }
        }
        self.copies.sort_unstable();
        for (key, row) in self.server.rows.iter_mut().enumerate() {
            row.entry.iter_mut().for_each(|entry| rename(key, &mut entry.by));
            row.lease.iter_mut().filter(|lease| lease.g != 0).for_each(|lease| lease.g = STANDING);
        }
        self.server.generations = GONE;
    }

    fn rename_nonces(&mut self) {
        let mut named = Names::default();
        self.each_nonce(&mut |nonce| named.add(*nonce));
        self.each_nonce(&mut |nonce| *nonce = named.name(*nonce));
        self.server.nonces = named.count();
    }

    fn each_nonce(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        self.server.tags.iter_mut().flatten().for_each(|row| visit(&mut row.nonce));
        let standing = self.server.rows.iter_mut().filter_map(|row| row.entry.as_mut());
        let held = self.readers.iter_mut().filter_map(|reader| reader.entry.as_mut());
        standing.chain(held).for_each(|entry| entry.draft.tags.iter_mut().for_each(&mut *visit));
        self.readers.iter_mut().for_each(|reader| reader.tags.iter_mut().for_each(&mut *visit));
        for copy in self.copies.iter_mut().flatten() {
            if let Command::Fill { draft, .. } | Command::Set { draft, .. } = &mut copy.command {
                draft.tags.iter_mut().for_each(&mut *visit);
            }
        }
    }

    fn rename_versions(&mut self) {
        let mut named = Names::default();
        self.each_version(&mut |version| named.add(*version));
        self.each_version(&mut |version| *version = named.name(*version));
        self.server.versions = named.count();
    }

    fn each_version(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        self.server.rows.iter_mut().filter_map(|row| row.entry.as_mut()).for_each(|entry| visit(&mut entry.version));
        for reader in &mut self.readers {
            visit(&mut reader.seen);
            reader.entry.iter_mut().for_each(|entry| visit(&mut entry.version));
        }
        for copy in self.copies.iter_mut().flatten() {
            if let Command::Acquire { seen, .. } = &mut copy.command {
                visit(seen);
            }
        }
    }
}

/// Numbers in use; each is renamed to its rank, and 0 stays 0.
#[derive(Default)]
struct Names(u64);

impl Names {
    fn add(&mut self, name: u8) {
        self.0 |= (1 << name) & !1;
    }

    fn name(&self, name: u8) -> u8 {
        let below = (self.0 & ((1 << name) - 1)).count_ones();
        if name == 0 { 0 } else { u8::try_from(below + 1).expect("at most 64") }
    }

    fn count(&self) -> u8 {
        u8::try_from(self.0.count_ones()).expect("at most 64")
    }
}
