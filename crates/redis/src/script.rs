//! Scripts: servers know them by their digest once they were told.

use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs};

use crate::connection::Connection;

/// A script, and its digest.
pub(crate) struct Script {
    code: &'static str,
    digest: String,
}

impl Script {
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, digest: redis::Script::new(code).get_hash().to_owned() }
    }

    /// Runs it where its keys lie. Who does not know it is told, by `EVAL`: `SCRIPT LOAD` asks every node of a cluster, and fails while one
    /// of them is away.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        keys: &[impl ToRedisArgs + Sync],
        arguments: &(impl ToRedisArgs + Sync),
        connection: &mut Connection,
    ) -> RedisResult<T> {
        let command = |verb: &str, script: &str| {
            let mut command = redis::cmd(verb);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match command("EVALSHA", &self.digest).query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", self.code).query_async(connection).await
            }
            said => said,
        }
    }
}
