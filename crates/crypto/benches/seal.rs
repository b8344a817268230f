//! Sealing next to bare AES-256-GCM of the same library, key schedule included: ratios count.

#![expect(clippy::unwrap_used, reason = "a bench may stop at the first error")]

use std::{hint::black_box, num::NonZeroU32};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    pbkdf2::{self, PBKDF2_HMAC_SHA256},
};
use chancery_crypto::{
    BlobKey, ColumnKey, Context, ContextPrefix, Flags, Handle, IndexKey, Key256, MemberContext, Random as _, Secret,
    SystemRandom, TableKey,
};
use criterion::{Criterion, criterion_group, criterion_main};

const PLAINTEXT: [u8; 64] = [0x61; 64];
const PLACE: Context<'static> = Context {
    tenant: b"ten_01J0000000000000000000TEN0",
    domain: b"data",
    table: b"01890a5d-ac96-774b-bcce-b302099a8057",
    column: b"01890a5d-ac96-774b-bcce-b302099a8058",
    row: b"01890a5d-ac96-774b-bcce-b302099a8059",
    generation: b"",
    schema_type: b"text",
};

fn seal(c: &mut Criterion) {
    let root = Key256::make(&SystemRandom).unwrap();
    let key = ColumnKey::derive(&root, Handle([7; 8]), PLACE.tenant, PLACE.table, PLACE.column);
    let context = PLACE.digest();
    let sealed = key.seal(&context, Flags::ROW, &PLAINTEXT, &SystemRandom).unwrap();

    c.bench_function("bare AES-256-GCM of 64 bytes with key schedule, seal then open", |b| {
        let cipher = |key: &[u8]| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let nonce = || Nonce::assume_unique_for_key([0; 12]);
        let mut bytes = PLAINTEXT;
        b.iter(|| {
            let tag =
                cipher(black_box(root.expose())).seal_in_place_separate_tag(nonce(), Aad::empty(), &mut bytes).unwrap();
            cipher(black_box(root.expose()))
                .open_in_place_separate_tag(nonce(), Aad::empty(), tag.as_ref(), &mut bytes)
                .unwrap();
        });
    });
    c.bench_function("seal then open 64 bytes", |b| {
        b.iter(|| {
            let sealed = key.seal(&context, Flags::ROW, black_box(&PLAINTEXT), &SystemRandom).unwrap();
            key.open(&context, &sealed).unwrap()
        });
    });
    c.bench_function("seal 64 bytes", |b| {
        b.iter(|| key.seal(&context, Flags::ROW, black_box(&PLAINTEXT), &SystemRandom).unwrap())
    });
    c.bench_function("open 64 bytes", |b| b.iter(|| key.open(&context, black_box(&sealed)).unwrap()));
    let table = TableKey::derive(&root, Handle([7; 8]), PLACE.tenant, PLACE.table);
    let row = Context { column: b"", ..PLACE }.digest();
    let columns: Vec<String> = (0..10).map(|n| format!("01890a5d-ac96-774b-bcce-b302099a806{n}")).collect();
    let members: Vec<_> =
        columns.iter().map(|column| MemberContext { column: column.as_bytes(), schema_type: b"text" }).collect();
    c.bench_function("seal then open a record of 10 fields of 64 bytes", |b| {
        b.iter(|| {
            let fields: Vec<_> = members.iter().map(|member| (*member, black_box(PLAINTEXT.as_slice()))).collect();
            let key = table.make_record(&row, Flags::ROW, &SystemRandom).unwrap();
            let (header, sealed) = (*key.header(), key.seal_row(&fields, &SystemRandom).unwrap());
            let key = table.open_record(&row, &header).unwrap();
            members.iter().zip(&sealed).map(|(member, sealed)| key.open(member, sealed).unwrap()).collect::<Vec<_>>()
        });
    });
    let blob = BlobKey::derive(&root, Handle([7; 8]), PLACE.tenant, PLACE.table, PLACE.column);
    let mebibyte = vec![0x61; 1 << 20];
    c.bench_function("seal then open a blob of 1 MiB", |b| {
        b.iter(|| {
            let mut sealer = blob.sealer(&context, Flags::ROW, &SystemRandom).unwrap();
            let (header, mut sealed, mut opened) = (*sealer.header(), Vec::new(), Secret::new(Vec::new()));
            sealer.push(black_box(&mebibyte), &mut sealed).unwrap();
            sealer.finish(&mut sealed).unwrap();
            let mut reader = blob.opener(&context, &header).unwrap().into_reader();
            reader.push(&sealed, &mut opened).unwrap();
            reader.finish(&mut opened).unwrap();
            opened
        });
    });
    c.bench_function("context digest", |b| b.iter(|| black_box(&PLACE).digest()));
    let prefix = ContextPrefix::new(PLACE.tenant, PLACE.domain, PLACE.table, PLACE.column);
    c.bench_function("context digest, column framed before", |b| {
        b.iter(|| prefix.digest(black_box(PLACE.row), PLACE.generation, PLACE.schema_type));
    });
    let index = IndexKey::derive(&root, PLACE.tenant, PLACE.table, b"email");
    c.bench_function("term of 64 bits", |b| {
        b.iter(|| index.term("email/1", b"", black_box(b"jane.doe@example.com"), 64).unwrap())
    });
    c.bench_function("24 random bytes", |b| {
        let mut salt = [0; 24];
        b.iter(|| SystemRandom.fill(black_box(&mut salt)).unwrap());
    });
}

/// What older systems do for each key access, and the bare cipher on much data.
fn yardsticks(c: &mut Criterion) {
    let mut group = c.benchmark_group("yardsticks");
    group.sample_size(20);
    for (name, iterations) in [("PBKDF2 of 100 000 rounds", 100_000), ("PBKDF2 of 120 000 rounds", 120_000)] {
        let rounds = NonZeroU32::new(iterations).unwrap();
        group.bench_function(name, |b| {
            let mut key = [0; 32];
            b.iter(|| pbkdf2::derive(PBKDF2_HMAC_SHA256, rounds, black_box(b"salt of 16 bytes"), b"secret", &mut key));
        });
    }
    let root = Key256::make(&SystemRandom).unwrap();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, root.expose()).unwrap());
    let mut mebibyte = vec![0x61; 1 << 20];
    group.bench_function("AES-256-GCM of 1 MiB", |b| {
        let nonce = || Nonce::assume_unique_for_key([0; 12]);
        b.iter(|| cipher.seal_in_place_separate_tag(nonce(), Aad::empty(), black_box(&mut mebibyte)).unwrap());
    });
    group.bench_function("column key derived from its root", |b| {
        b.iter(|| ColumnKey::derive(&root, Handle([7; 8]), PLACE.tenant, PLACE.table, black_box(PLACE.column)));
    });
    group.finish();
}

criterion_group!(benches, seal, yardsticks);
criterion_main!(benches);
