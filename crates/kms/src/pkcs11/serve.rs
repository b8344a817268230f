//! The child: reads questions, asks the module, writes answers.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::Duration,
};

use chancery_domain::keyring::resident::{Decryption, ResidentType, ResidentUse, Signing};
use zeroize::Zeroizing;

use super::{
    Fault, Pkcs11Settings,
    module::Module,
    protocol::{Message, Verb},
};

/// How long a call of the module may go on after the server is gone.
const GRACE: Duration = Duration::from_secs(10);

/// Answers questions until `input` ends. This is all that the process of [`Worker`](super::Worker) does.
///
/// The module runs in this process. When `input` ends while a call of the module hangs, the process aborts after ten seconds.
///
/// # Errors
///
/// What reading or writing gave. The process should end then.
pub fn serve(mut input: impl Read + Send + 'static, mut output: impl Write) -> io::Result<()> {
    let (questions, asked) = mpsc::channel();
    thread::spawn(move || {
        loop {
            let question = Message::read(&mut input);
            let last = !matches!(question, Ok(Some(_)));
            if questions.send(question).is_err() {
                return;
            }
            if last {
                thread::sleep(GRACE);
                std::process::abort();
            }
        }
    });
    let mut module = None;
    while let Ok(question) = asked.recv() {
        let Some(question) = question? else { break };
        let outcome = answer(&mut module, &question);
        Message::answer(&outcome).write(&mut output)?;
    }
    Ok(())
}

type Fields = Vec<Zeroizing<Vec<u8>>>;

fn answer(module: &mut Option<Module>, question: &Message) -> Result<Fields, Fault> {
    let strange = || Fault::Misconfigured("the server and its PKCS#11 worker are of different versions".to_owned());
    let (byte, fields) = question.parse().ok_or_else(strange)?;
    let verb = Verb::parse(byte).ok_or_else(strange)?;
    if let (Verb::Open | Verb::Create, [path, token, key, pin_file]) = (verb, fields.as_slice()) {
        let settings = Pkcs11Settings {
            module: self::path(path),
            token: text(token)?.to_owned(),
            key: text(key)?.to_owned(),
            pin_file: self::path(pin_file),
        };
        let opened = if verb == Verb::Open { Module::open(&settings) } else { Module::create(&settings) };
        *module = Some(opened?);
        return Ok(Vec::new());
    }
    let module = module.as_ref().ok_or_else(|| Fault::Misconfigured("the first question is not `Open`".to_owned()))?;
    match (verb, fields.as_slice()) {
        (Verb::Encrypt, [plaintext, bound]) => module.encrypt(plaintext, bound).map(one),
        (Verb::Decrypt, [sealed, bound]) => module.decrypt(sealed, bound).map(|key| vec![key]),
        (Verb::Generate, [name, key_type, r#use]) => {
            module.generate(text(name)?, code::<ResidentType>(key_type)?, code::<ResidentUse>(r#use)?).map(one)
        }
        (Verb::Public, [id]) => {
            let public = module.public(text(id)?)?;
            Ok(vec![Zeroizing::new(public.key_type.as_str().into()), Zeroizing::new(public.spki)])
        }
        (Verb::Sign, [id, signing, digest]) => module.sign(text(id)?, code::<Signing>(signing)?, digest).map(one),
        (Verb::Unseal, [id, decryption, sealed]) => {
            module.unseal(text(id)?, code::<Decryption>(decryption)?, sealed).map(|opened| vec![opened])
        }
        (Verb::Destroy, [id]) => module.destroy(text(id)?).map(|()| Vec::new()),
        _ => Err(strange()),
    }
}

fn one(field: Vec<u8>) -> Fields {
    vec![Zeroizing::new(field)]
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Misconfigured("a name is not UTF-8".to_owned()))
}

fn code<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, Fault> {
    text(bytes)?.parse().map_err(|_| Fault::Unsupported)
}
