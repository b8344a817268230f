//! Merkle trees, tiles, checkpoints, proofs. Leaf number i is the 8 bytes of i, big-endian.

use chancery_crypto::checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey};
use chancery_crypto::merkle::{EMPTY, Frontier, Hash, leaf_hash, verify_consistency, verify_inclusion};
use chancery_crypto::proof::LogProof;
use chancery_crypto::tiles::{TileId, Tiles, TreeBuilder};
use chancery_crypto::{Ed25519SigningKey, sha256_hex};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::signed::SEED;
use crate::{hex, refusal};

const ORIGIN: &str = "chancery.example/t/00112233";
const LARGEST: u64 = 70_000;

fn leaf(number: u64) -> Hash {
    leaf_hash(&number.to_be_bytes())
}

fn hexes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hex(hash)).collect()
}

fn tree(size: u64) -> Tiles {
    let mut builder = TreeBuilder::resume(0, Tiles::default()).unwrap();
    (0..size).for_each(|number| builder.push(leaf(number)));
    let mut tiles = Tiles::default();
    for (tile, bytes) in builder.finish().unwrap().tiles {
        tiles.insert(tile, &bytes).unwrap();
    }
    tiles
}

pub(crate) fn merkle() -> Value {
    let tiles = tree(LARGEST);
    let root = |size: u64| tiles.root(size).unwrap();
    let roots: Vec<Value> = [0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 300, 65_536, LARGEST]
        .into_iter()
        .map(|size| {
            let frontier: Frontier = tiles.frontier(size).unwrap();
            assert_eq!(frontier.root(), root(size));
            json!({"size": size, "root": hex(&root(size)), "frontier": hex(&frontier.to_bytes())})
        })
        .collect();
    let inclusion = |index, size| {
        let proof = tiles.inclusion_proof(index, size).unwrap();
        verify_inclusion(index, size, &leaf(index), &proof, &root(size)).unwrap();
        json!({"index": index, "size": size, "proof": hexes(&proof)})
    };
    let consistency = |old, new| {
        let proof = tiles.consistency_proof(old, new).unwrap();
        verify_consistency(old, new, &root(old), &root(new), &proof).unwrap();
        json!({"old": old, "new": new, "proof": hexes(&proof)})
    };
    let small = (1..=9_u64).flat_map(|size| (0..size).map(move |index| (index, size)));
    let inclusions: Vec<Value> = small
        .chain([(0, 300), (255, 300), (256, 300), (299, 300), (12_345, LARGEST), (69_999, LARGEST)])
        .map(|(index, size)| inclusion(index, size))
        .collect();
    let small = (0..=9_u64).flat_map(|new| (0..=new).map(move |old| (old, new)));
    let consistencies: Vec<Value> = small
        .chain([(1, 300), (255, 300), (256, 300), (257, 300), (65_536, LARGEST), (65_537, LARGEST)])
        .map(|(old, new)| consistency(old, new))
        .collect();

    let proof = tiles.inclusion_proof(5, 9).unwrap();
    let longer = [&proof[..], &[EMPTY]].concat();
    let swapped: Vec<Hash> = [1, 0, 2, 3].into_iter().map(|at: usize| proof[at]).collect();
    let refused_inclusions: Vec<Value> = [
        ("another index", 4, 9, leaf(5), proof.clone(), root(9)),
        ("another leaf", 5, 9, leaf(6), proof.clone(), root(9)),
        ("another root", 5, 9, leaf(5), proof.clone(), root(8)),
        ("another size of the same shape", 5, 10, leaf(5), proof.clone(), root(10)),
        ("a smaller size", 5, 8, leaf(5), proof.clone(), root(9)),
        ("a hash less", 5, 9, leaf(5), proof[1..].to_vec(), root(9)),
        ("a hash more", 5, 9, leaf(5), longer, root(9)),
        ("hashes swapped", 5, 9, leaf(5), swapped, root(9)),
        ("index beyond the size", 9, 9, leaf(5), proof.clone(), root(9)),
        ("an empty tree", 0, 0, leaf(0), Vec::new(), EMPTY),
    ]
    .into_iter()
    .map(|(name, index, size, leaf, proof, root)| {
        let error = refusal(verify_inclusion(index, size, &leaf, &proof, &root));
        json!({"name": name, "index": index, "size": size, "leaf": hex(&leaf), "proof": hexes(&proof), "root": hex(&root), "error": error})
    })
    .collect();
    let proof = tiles.consistency_proof(6, 9).unwrap();
    let longer = [&proof[..], &[EMPTY]].concat();
    let refused_consistencies: Vec<Value> = [
        ("another old root", 6, 9, root(5), root(9), proof.clone()),
        ("another new root", 6, 9, root(6), root(8), proof.clone()),
        ("another old size", 5, 9, root(6), root(9), proof.clone()),
        ("a hash less", 6, 9, root(6), root(9), proof[1..].to_vec()),
        ("a hash more", 6, 9, root(6), root(9), longer),
        ("backwards", 9, 6, root(9), root(6), proof.clone()),
        ("same size, other root", 9, 9, root(8), root(9), Vec::new()),
        ("same size, with a proof", 9, 9, root(9), root(9), proof.clone()),
        ("not the empty root", 0, 9, root(1), root(9), Vec::new()),
    ]
    .into_iter()
    .map(|(name, old, new, old_root, new_root, proof)| {
        let error = refusal(verify_consistency(old, new, &old_root, &new_root, &proof));
        json!({"name": name, "old": old, "new": new, "old_root": hex(&old_root), "new_root": hex(&new_root), "proof": hexes(&proof), "error": error})
    })
    .collect();

    let tile = |level, index, width: u16| {
        let tile = TileId { level, index };
        let bytes = tiles.to_bytes(tile).unwrap();
        assert_eq!(bytes.len(), usize::from(width) * 32);
        json!({"level": level, "index": index, "path": tile.path(width), "width": width, "sha256": sha256_hex(&bytes), "first": hex(&bytes[..32])})
    };
    let edge: Vec<Value> =
        TileId::edge(LARGEST).into_iter().map(|(id, width)| tile(id.level, id.index, width)).collect();
    json!({
        "format": "RFC 6962 trees, C2SP tiles", "size": LARGEST, "roots": roots, "inclusion": inclusions, "consistency": consistencies,
        "refused_inclusion": refused_inclusions, "refused_consistency": refused_consistencies,
        "edge": edge, "full_tiles": [tile(0, 0, 256), tile(0, 272, 256), tile(1, 0, 256)],
        "far_path": {"level": 0, "index": 1_234_067, "width": 256, "path": TileId { level: 0, index: 1_234_067 }.path(256)},
    })
}

fn key() -> Ed25519SigningKey {
    Ed25519SigningKey::from_seed(&SEED).unwrap()
}

fn signed(size: u64, root: Hash) -> SignedCheckpoint {
    SignedCheckpoint::sign(&Checkpoint { origin: ORIGIN.into(), size, root }, &key(), ORIGIN).unwrap()
}

pub(crate) fn checkpoint() -> Value {
    let vkey = VerifierKey::new(ORIGIN, key().public()).unwrap();
    let witness = format!("\u{2014} witness.example {}\n", BASE64.encode(&[5; 76]));
    let cases: Vec<Value> = [
        signed(0, EMPTY).text().to_owned(),
        signed(3, [9; 32]).text().to_owned(),
        signed(u64::MAX, [8; 32]).text().to_owned() + &witness,
    ]
    .into_iter()
    .map(|note| {
        let read = SignedCheckpoint::parse(&note).unwrap();
        let Checkpoint { origin, size, root } = read.verify(&vkey).unwrap();
        json!({"note": note, "origin": origin, "size": size.to_string(), "root": hex(root)})
    })
    .collect();
    let good = signed(1234, [9; 32]).text().to_owned();
    let bad_line = BASE64.encode(&[&vkey.key_id()[..], &[0; 64]].concat());
    let refused: Vec<Value> = [
        ("another size", good.replacen("1234", "1235", 1)),
        ("another origin", good.replacen("00112233\n", "00112234\n", 1)),
        ("another root", good.replacen("CQkJ", "CQkK", 1)),
        ("signed by a stranger", good.replacen("\u{2014} chancery", "\u{2014} chancerz", 1)),
        ("a second, bad signature", format!("{good}\u{2014} {ORIGIN} {bad_line}\n")),
        ("leading zero", good.replacen("1234", "01234", 1)),
        ("negative size", good.replacen("1234", "-1234", 1)),
        ("extension line", good.replacen("\n\n", "\nextension\n\n", 1)),
        ("carriage return", good.replacen('\n', "\r\n", 1)),
        ("no signature", good.split_once("\n\n").unwrap().0.to_owned() + "\n\n"),
        ("no empty line", good.replacen("\n\n", "\n", 1)),
        ("hyphen, not dash", good.replacen('\u{2014}', "-", 1)),
        ("unpadded root", good.replacen("=\n\n", "\n\n", 1)),
        ("no newline at the end", good.trim_end().to_owned()),
        ("an empty line more", format!("{good}\n")),
    ]
    .into_iter()
    .map(|(name, note)| {
        assert_ne!(note, good, "{name}");
        let error = refusal(SignedCheckpoint::parse(&note).and_then(|read| read.verify(&vkey).cloned()));
        json!({"name": name, "note": note, "error": error})
    })
    .collect();
    let refused_keys: Vec<Value> = [
        vkey.to_text().replacen('+', "-", 1),
        vkey.to_text().replacen("chancery", "chancerz", 1),
        vkey.to_text().to_uppercase(),
        vkey.to_text() + "=",
        String::from("name+00000000+"),
    ]
    .into_iter()
    .map(|text| json!({"vkey": text, "error": refusal(VerifierKey::from_text(&text))}))
    .collect();
    json!({
        "format": "C2SP checkpoint, signed note, Ed25519", "seed": hex(&SEED), "name": ORIGIN, "vkey": vkey.to_text(), "cases": cases,
        "refused": refused, "refused_vkeys": refused_keys,
    })
}

pub(crate) fn tlog_proof() -> Value {
    let vkey = VerifierKey::new(ORIGIN, key().public()).unwrap();
    let tiles = tree(300);
    let prove = |index: u64, size: u64| LogProof {
        index,
        hashes: tiles.inclusion_proof(index, size).unwrap(),
        checkpoint: signed(size, tiles.root(size).unwrap()),
    };
    let cases: Vec<Value> = [(0, 1), (5, 9), (299, 300)]
        .into_iter()
        .map(|(index, size): (u64, u64)| {
            let text = prove(index, size).to_text();
            LogProof::parse(&text).unwrap().verify(&leaf(index), &vkey).unwrap();
            json!({"entry": hex(&index.to_be_bytes()), "index": index, "size": size, "text": text})
        })
        .collect();
    let good = prove(5, 9).to_text();
    let other_head = good.split_once("\n\n").unwrap().0.to_owned() + "\n\n" + signed(9, [1; 32]).text();
    let refused: Vec<Value> = [
        ("another index", good.replacen("index 5", "index 4", 1)),
        ("index beyond the size", good.replacen("index 5", "index 9", 1)),
        ("leading zero", good.replacen("index 5", "index 05", 1)),
        ("version 2", good.replacen("@v1", "@v2", 1)),
        ("extra line", good.replacen("index 5", "extra AAAA\nindex 5", 1)),
        ("a hash less", {
            let mut lines: Vec<&str> = good.split('\n').collect();
            lines.remove(2);
            lines.join("\n")
        }),
        ("a hash more", good.replacen("index 5\n", &format!("index 5\n{}\n", BASE64.encode(&EMPTY)), 1)),
        ("another checkpoint", other_head),
        ("size changed", good.replacen("\n9\n", "\n8\n", 1)),
        ("no checkpoint", good.split_once("\n\n").unwrap().0.to_owned() + "\n\n"),
    ]
    .into_iter()
    .map(|(name, text)| {
        assert_ne!(text, good, "{name}");
        let error = refusal(LogProof::parse(&text).and_then(|proof| proof.verify(&leaf(5), &vkey).cloned()));
        json!({"name": name, "entry": hex(&5_u64.to_be_bytes()), "text": text, "error": error})
    })
    .collect();
    json!({"format": "C2SP tlog-proof v1", "vkey": vkey.to_text(), "cases": cases, "refused": refused})
}
