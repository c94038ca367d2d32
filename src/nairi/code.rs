//! How a request ended, as the label of a metric: a closed set.

use http::StatusCode;

use super::client::Method;

/// The answer has the right status, and can't be relied on.
pub(super) const INVALID: &str = "invalid";
/// Nobody waited for the answer.
pub(super) const CANCELLED: &str = "cancelled";
/// The answer did not come in time.
pub(super) const TIMEOUT: &str = "timeout";
/// There was no connection.
pub(super) const CONNECT: &str = "connect";
/// Anything else.
pub(super) const ERROR: &str = "error";

/// Statuses that are labels of their own.
const KNOWN: [(u16, &str); 13] = [
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// The others, by their first digit.
const CLASSES: [(u16, &str); 4] = [(2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")];

/// The label of a status that is no success. One that would be the success of another method is `2xx`, so that `200`,
/// `201` and `204` always say that all went well.
pub(super) fn of(status: StatusCode) -> &'static str {
    let number = status.as_u16();
    let find = |labels: &[(u16, &'static str)], number| {
        let found = labels.iter().find(|(known, _)| *known == number);
        found.map(|(_, label)| *label)
    };
    find(&KNOWN, number)
        .or_else(|| find(&CLASSES, number / 100))
        .unwrap_or(ERROR)
}

/// All labels of requests with that method.
pub fn codes(method: Method) -> impl Iterator<Item = &'static str> {
    let statuses = KNOWN.into_iter().chain(CLASSES).map(|(_, label)| label);
    [method.success().1]
        .into_iter()
        .chain(statuses)
        .chain([CONNECT, TIMEOUT, ERROR, INVALID, CANCELLED])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_one_of_the_labels() {
        for method in Method::ALL {
            let all: Vec<_> = codes(method).collect();
            let mut once = all.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(all.len(), once.len(), "{all:?}");
            for status in 100..1000 {
                let status = StatusCode::from_u16(status).expect("a status");
                assert!(all.contains(&of(status)), "{method:?} {status}");
                assert_ne!(of(status), method.success().1, "{method:?} {status}");
            }
        }
    }
}
