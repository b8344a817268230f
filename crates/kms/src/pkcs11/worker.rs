//! The server's side: starts the child, asks it, kills it when it is late.

use std::{ffi::OsString, fs, io, os::unix::fs::MetadataExt as _, path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use chancery_crypto::{Key256, Secret};
use chancery_domain::keyring::{
    ProviderError, ProviderKind, WrapLabel,
    resident::{
        Decryption, Destruction, ResidentError, ResidentId, ResidentKeys, ResidentPublic, ResidentType, ResidentUse,
        Signing,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    Fault, Pkcs11Settings,
    protocol::{Message, Verb, body_length},
};
use crate::envelope::{Encrypts, associated_data, key_provider};

/// The command that runs [`serve`](super::serve).
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// Its executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that it gets besides the server's own, such as `SOFTHSM2_CONF`.
    pub environment: Vec<(OsString, OsString)>,
}

/// An AES-256 key in an HSM, asked through a child process. The label is associated data.
///
/// One question is under way at a time. A child that is dead is replaced before the next question, one that does not answer
/// within the deadline is killed: nobody waits longer than twice the deadline.
pub struct Worker {
    settings: Pkcs11Settings,
    command: WorkerCommand,
    deadline: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    /// The PIN file that the token did not take, and what it said.
    bad_pin: Option<(Stamp, Fault)>,
}

/// A child that answered `Open`. Dropping it kills it.
struct Running {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// Tells a file from what it was before.
type Stamp = Option<(u64, u64, i64, i64)>;
type Fields = Vec<Zeroizing<Vec<u8>>>;

impl Worker {
    /// Takes the settings. The child is started with the first question. `deadline` is five seconds unless there is a reason.
    pub fn new(settings: Pkcs11Settings, command: WorkerCommand, deadline: Duration) -> Self {
        Self { settings, command, deadline, state: Mutex::new(State::default()) }
    }

    /// Makes the AES-256 key in the token: it cannot be read out of it.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] if the token has a key of that label.
    pub async fn create(
        settings: Pkcs11Settings,
        command: WorkerCommand,
        deadline: Duration,
    ) -> Result<Self, ProviderError> {
        let worker = Self::new(settings, command, deadline);
        let mut state = worker.state.lock().await;
        let running = timeout(deadline, worker.start(&mut state, Verb::Create)).await.map_err(|_| worker.late())??;
        state.running = Some(running);
        drop(state);
        Ok(worker)
    }

    /// The child's process id, if there is one.
    pub async fn process_id(&self) -> Option<u32> {
        self.state.lock().await.running.as_ref().and_then(|running| running.child.id())
    }

    fn name(&self) -> String {
        self.settings.name()
    }

    fn late(&self) -> Fault {
        Fault::Unavailable(format!("the PKCS#11 module did not answer within {:?}", self.deadline))
    }

    async fn ask(&self, verb: Verb, fields: &[&[u8]]) -> Result<Fields, Fault> {
        let question = Message::question(verb, fields);
        let mut state = timeout(self.deadline, self.state.lock()).await.map_err(|_| self.late())?;
        // On a timeout the child is dropped with the future, and killed by that.
        timeout(self.deadline, self.ask_child(&mut state, verb, &question)).await.map_err(|_| self.late())?
    }

    async fn ask_child(&self, state: &mut State, verb: Verb, question: &Message) -> Result<Fields, Fault> {
        // Taken out while in use: whoever gives up on the way leaves no half-read answer behind.
        if let Some(mut running) = state.running.take()
            && matches!(running.child.try_wait(), Ok(None))
        {
            match running.exchange(question).await {
                Ok(outcome) => return keep(state, running, outcome),
                Err(_) if verb.is_repeatable() => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        let mut running = self.start(state, Verb::Open).await?;
        let outcome = running.exchange(question).await.map_err(|error| broken(&error))?;
        keep(state, running, outcome)
    }

    async fn start(&self, state: &mut State, verb: Verb) -> Result<Running, Fault> {
        let stamp = stamp(&self.settings);
        if let Some((_, fault)) = state.bad_pin.as_ref().filter(|(seen, _)| *seen == stamp) {
            return Err(fault.clone());
        }
        let mut child = Command::new(&self.command.program)
            .args(&self.command.arguments)
            .envs(self.command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Fault::Unavailable(format!("cannot start {}: {error}", self.command.program.display())))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Fault::Unavailable("the PKCS#11 worker has no pipes".to_owned()));
        };
        let mut running = Running { child, input, output };
        let opened = running.exchange(&Message::settings(verb, &self.settings)).await;
        match opened.map_err(|error| broken(&error))? {
            Ok(_) => {
                state.bad_pin = None;
                Ok(running)
            }
            Err(fault) => {
                if matches!(fault, Fault::Pin(_)) {
                    state.bad_pin = Some((stamp, fault.clone()));
                }
                Err(fault)
            }
        }
    }
}

/// A child that is in trouble is not asked again.
fn keep(state: &mut State, running: Running, outcome: Result<Fields, Fault>) -> Result<Fields, Fault> {
    if !matches!(outcome, Err(Fault::Unavailable(_))) {
        state.running = Some(running);
    }
    outcome
}

fn broken(error: &io::Error) -> Fault {
    Fault::Unavailable(format!("the PKCS#11 worker ended or broke off: {error}"))
}

fn stamp(settings: &Pkcs11Settings) -> Stamp {
    let seen = fs::metadata(&settings.pin_file).ok()?;
    Some((seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
}

impl Running {
    async fn exchange(&mut self, question: &Message) -> io::Result<Result<Fields, Fault>> {
        self.input.write_all(&question.length()?).await?;
        self.input.write_all(&question.0).await?;
        self.input.flush().await?;
        let mut length = [0; 4];
        self.output.read_exact(&mut length).await?;
        let mut body = Zeroizing::new(vec![0; body_length(length)?]);
        self.output.read_exact(&mut body).await?;
        Message(body).outcome().ok_or_else(|| io::Error::other("not an answer"))
    }
}

/// The one field of an answer.
fn one(fields: Fields) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let [field] = <[_; 1]>::try_from(fields).map_err(|_| strange())?;
    Ok(field)
}

fn strange() -> Fault {
    Fault::Misconfigured("the server and its PKCS#11 worker are of different versions".to_owned())
}

#[async_trait]
impl Encrypts for Worker {
    async fn encrypt(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        let sealed = one(self.ask(Verb::Encrypt, &[key.expose(), &associated_data(&label)]).await?)?;
        Ok(sealed.to_vec())
    }

    async fn decrypt(&self, part: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        let key = one(self.ask(Verb::Decrypt, &[part, &associated_data(&label)]).await?)?;
        Key256::from_slice(&key).ok_or(ProviderError::Refused)
    }
}

key_provider!(Worker, ProviderKind::Pkcs11);

#[async_trait]
impl ResidentKeys for Worker {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Pkcs11
    }

    async fn generate(
        &self,
        name: &str,
        key_type: ResidentType,
        r#use: ResidentUse,
    ) -> Result<ResidentId, ResidentError> {
        let fields = [name.as_bytes(), key_type.as_str().as_bytes(), r#use.as_str().as_bytes()];
        let id = one(self.ask(Verb::Generate, &fields).await?)?;
        std::str::from_utf8(&id).ok().and_then(|id| id.parse().ok()).ok_or_else(|| strange().into())
    }

    async fn public(&self, id: &ResidentId) -> Result<ResidentPublic, ResidentError> {
        let fields = self.ask(Verb::Public, &[id.as_str().as_bytes()]).await?;
        let [key_type, spki] = <[_; 2]>::try_from(fields).map_err(|_| strange())?;
        let key_type = std::str::from_utf8(&key_type).ok().and_then(|text| text.parse().ok()).ok_or_else(strange)?;
        Ok(ResidentPublic { key_type, spki: spki.to_vec() })
    }

    async fn sign(&self, id: &ResidentId, signing: Signing, digest: &[u8]) -> Result<Vec<u8>, ResidentError> {
        let fields = [id.as_str().as_bytes(), signing.as_str().as_bytes(), digest];
        Ok(one(self.ask(Verb::Sign, &fields).await?)?.to_vec())
    }

    async fn decrypt(
        &self,
        id: &ResidentId,
        decryption: Decryption,
        ciphertext: &[u8],
    ) -> Result<Secret<Vec<u8>>, ResidentError> {
        let fields = [id.as_str().as_bytes(), decryption.as_str().as_bytes(), ciphertext];
        Ok(Secret::new(one(self.ask(Verb::Unseal, &fields).await?)?.to_vec()))
    }

    async fn destroy(&self, id: &ResidentId) -> Result<Destruction, ResidentError> {
        self.ask(Verb::Destroy, &[id.as_str().as_bytes()]).await?;
        Ok(Destruction::Done)
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({})", self.name())
    }
}
