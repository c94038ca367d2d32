//! A name server that knows one name: what a static program in an image without any library asks.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
/// A response, recursion desired and available.
const ANSWER: u8 = 0x81;
const AVAILABLE: u8 = 0x80;
const NO_SUCH_NAME: u8 = 3;

/// Ends when dropped.
pub(crate) struct Names {
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Names {
    /// Answers `name` with `address`, and says that there is no other.
    pub(crate) async fn serve(
        at: SocketAddr,
        name: &str,
        address: Ipv4Addr,
    ) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(at).await?;
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        let name = wire_form(name);
        let serving = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let Some((answer, found)) = answer(&query[..length], &name, address) else {
                    continue;
                };
                count.fetch_add(usize::from(found), Ordering::Relaxed);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Ok(Self { asked, serving })
    }

    /// How often the name was asked for, and answered with its address.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Each label behind its length, and the root's.
fn wire_form(name: &str) -> Vec<u8> {
    let mut form = Vec::new();
    for label in name.split('.') {
        form.push(u8::try_from(label.len()).expect("a label is short"));
        form.extend(label.bytes());
    }
    form.push(0);
    form
}

/// The answer to a query with one question, and whether it holds the address.
fn answer(query: &[u8], name: &[u8], address: Ipv4Addr) -> Option<(Vec<u8>, bool)> {
    let asked = query.get(HEADER..)?;
    let end = asked.iter().position(|byte| *byte == 0)? + 1;
    let question = asked.get(..end + 4)?;
    let known = question[..end].eq_ignore_ascii_case(name);
    let found = known && question[end..end + 2] == TYPE_A;
    let code = if known { 0 } else { NO_SUCH_NAME };
    let mut answer = query[..2].to_vec();
    answer.extend([
        ANSWER,
        AVAILABLE | code,
        0,
        1,
        0,
        u8::from(found),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(question);
    if found {
        // The name as it stands in the question, type A, class IN, for no time, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some((answer, found))
}
