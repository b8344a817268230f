//! One server, or the nodes of a cluster: how they are reached, and what is asked over it.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, RedisFuture, TlsCertificates, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};

use crate::link::{CONNECT, Options, Refused};

/// How connections are made.
pub(crate) struct Dial {
    /// Of each server that is named.
    named: Vec<Client>,
    cluster: Option<ClusterClient>,
}

/// A connection; a clone asks over the same one.
#[derive(Clone)]
pub(crate) enum Connection {
    /// To one server.
    One(MultiplexedConnection),
    /// To the nodes of a cluster. What is asked for goes to the node that has it.
    Cluster(ClusterConnection),
}

impl Dial {
    pub(crate) fn new(options: &Options) -> Result<Self, Refused> {
        let urls = options.address.urls();
        let pem = options.ca_file.as_ref().map(std::fs::read).transpose().map_err(Refused::Authorities)?;
        let tls = || pem.clone().map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) });
        let client = |url: &chancery_crypto::Secret<String>| match tls() {
            Some(tls) => Client::build_with_tls(url.expose().as_str(), tls),
            None => Client::open(url.expose().as_str()),
        };
        let named = urls.iter().map(client).collect::<Result<_, _>>().map_err(Refused::Client)?;
        let cluster = options.cluster.then(|| {
            let longest = CONNECT.max(options.timeout);
            let builder = ClusterClient::builder(urls.iter().map(|url| url.expose().as_str()))
                .connection_timeout(CONNECT / 2)
                .response_timeout(longest)
                .retries(2);
            match tls() {
                Some(tls) => builder.certs(tls).build(),
                None => builder.build(),
            }
        });
        Ok(Self { named, cluster: cluster.transpose().map_err(Refused::Client)? })
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Connection, RedisError> {
        if let Some(cluster) = &self.cluster {
            return cluster.get_async_connection().await.map(Connection::Cluster);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(CONNECT.max(timeout)));
        let mut failed = None;
        for client in &self.named {
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => return Ok(Connection::One(connection)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(nobody))
    }

    /// A connection to listen on: to the first named server that is there. In a cluster every node passes on what is said on any.
    pub(crate) async fn listen(&self) -> Result<PubSub, RedisError> {
        let mut failed = None;
        for client in &self.named {
            match tokio::time::timeout(CONNECT, client.get_async_pubsub()).await {
                Ok(Ok(ears)) => return Ok(ears),
                Ok(Err(error)) => failed = Some(error),
                // One that says nothing must not make us deaf to the others.
                Err(_) => failed = Some(nobody_answers()),
            }
        }
        Err(failed.unwrap_or_else(nobody))
    }
}

fn nobody_answers() -> RedisError {
    (redis::ErrorKind::Io, "no server answers in time").into()
}

fn nobody() -> RedisError {
    (redis::ErrorKind::InvalidClientConfig, "no server is named").into()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
