//! What waits for one receiver: at most one message per group, and not more groups than the bound.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tft_core::alert::Notification;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A bounded queue that one worker takes from.
#[derive(Debug)]
pub(crate) struct Queue {
    items: Mutex<VecDeque<Item>>,
    /// Most items that wait; the one that the worker has in its hands is beside them.
    items_max: usize,
    added: Notify,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) notification: Notification,
    /// When it was first to be delivered.
    pub(crate) since: Instant,
}

/// What became of a message that was added.
#[derive(Debug, PartialEq)]
pub(crate) enum Added {
    /// It waits.
    Waiting,
    /// It waits in the place of an older one of its group, which is outdated.
    InPlace,
    /// There is no room for it.
    Dropped(Box<Notification>),
}

impl Queue {
    pub(crate) fn new(items_max: usize) -> Self {
        Self { items: Mutex::default(), items_max, added: Notify::new() }
    }

    /// Adds a message; a newer one of a group takes the place of the older one.
    pub(crate) fn add(&self, notification: Notification) -> Added {
        let item = Item { notification, since: Instant::now() };
        let mut items = self.lock();
        let is_full = items.len() >= self.items_max;
        let added = match items.iter_mut().find(|waiting| waiting.is_of_group(&item)) {
            Some(waiting) => {
                *waiting = item;
                Added::InPlace
            }
            None if is_full => return Added::Dropped(Box::new(item.notification)),
            None => {
                items.push_back(item);
                Added::Waiting
            }
        };
        drop(items);
        self.added.notify_one();
        added
    }

    /// Puts a message that was not delivered behind the others, and returns whether it was still wanted: a newer one of
    /// its group makes it outdated.
    pub(crate) fn put_back(&self, item: Item) -> bool {
        let mut items = self.lock();
        let is_wanted = !items.iter().any(|waiting| waiting.is_of_group(&item));
        if is_wanted {
            items.push_back(item);
        }
        is_wanted
    }

    /// Takes the message that waits longest; none if none does.
    pub(crate) fn take(&self) -> Option<Item> {
        self.lock().pop_front()
    }

    /// Resolves when something was added since the last time.
    ///
    /// # Cancel safety
    /// Cancel safe: what was added is not forgotten.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Item {
    fn is_of_group(&self, other: &Self) -> bool {
        self.notification.group_key == other.notification.group_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{alert, notification};

    fn of_group(key: &str, server: &str) -> Notification {
        let mut notification = notification(vec![alert(server, "warning", "firing")]);
        notification.group_key = key.into();
        notification
    }

    fn server(item: &Item) -> &str {
        item.notification.alerts[0].server.as_str()
    }

    #[tokio::test]
    async fn a_newer_message_takes_the_place_of_its_group_and_a_full_queue_drops() {
        let queue = Queue::new(2);
        assert_eq!(queue.add(of_group("a", "a-1")), Added::Waiting);
        assert_eq!(queue.add(of_group("b", "b-1")), Added::Waiting);
        assert!(
            matches!(queue.add(of_group("c", "c-1")), Added::Dropped(message) if message.group_key == "c")
        );
        assert_eq!(queue.add(of_group("a", "a-2")), Added::InPlace);
        assert_eq!(queue.len(), 2);
        let first = queue.take().unwrap();
        assert_eq!(server(&first), "a-2");
        assert!(queue.put_back(first));
        assert_eq!(server(&queue.take().unwrap()), "b-1");
        let first = queue.take().unwrap();
        assert_eq!(queue.add(of_group("a", "a-3")), Added::Waiting);
        assert!(!queue.put_back(first), "a newer one waits");
        assert_eq!(server(&queue.take().unwrap()), "a-3");
        assert!(queue.take().is_none());
    }

    #[tokio::test]
    async fn what_is_added_is_noticed_even_before_somebody_waits() {
        let queue = Queue::new(1);
        queue.add(of_group("a", "a-1"));
        queue.added().await;
    }
}
