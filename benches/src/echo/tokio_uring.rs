//! tokio-uring with the flags that it chooses.

use std::io;
use std::net::TcpListener;

use tokio_uring::buf::BoundedBuf as _;
use tokio_uring::net::TcpStream;

use super::{BUFFER, ENTRIES};

pub(super) fn serve(listener: TcpListener) {
    let mut builder = tokio_uring::builder();
    builder.entries(ENTRIES);
    let served: io::Result<()> = builder.start(async {
        let listener = tokio_uring::net::TcpListener::from_std(listener);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio_uring::spawn(echo(stream));
        }
    });
    served.expect("connections");
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER as usize];
    loop {
        let (result, filled) = stream.read(buffer).await;
        let count = match result? {
            0 => return Ok(()),
            count => count,
        };
        let (result, sent) = stream.write_all(filled.slice(..count)).await;
        result?;
        buffer = sent.into_inner();
    }
}
