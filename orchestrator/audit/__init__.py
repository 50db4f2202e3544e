"""The audit: whether the saga log and the three participants agree.

It walks over windows of create time, oldest first. For each it lists the processes of the window
from the log and the entities of the same window, and a little more, from the participants, and
joins them by the suffix that the ids of one process share. What fits is done with. What does not
fit proves nothing yet, for the lists were read one after the other while orders ran; so it is read
again, alone, before it is reported:

  Of a process: its three entities, then the process, then the three entities again, until both
  readings of the entities are equal. An entity never comes back to a state that it left (the tables
  of its states have no way round), so equal readings mean that it was so all the time between
  them, and in particular at the moment at which the process was read: what is compared was true
  together, at one moment. At that moment a process that is COMPLETED had all its steps answered,
  and a return would have been in its history before its first call left (intent before effect); one
  that is CANCELLED had all its undos answered, and what arrives late is refused by the tombstones.
  So neither is reported for something that is under way. A process in flight is compared only for
  what it cannot mend itself: an amount, which no call ever changes, and an entity that it has
  cancelled, to which it never comes back. One whose entities keep moving is left to the next audit.

  Of an entity without a process: the entity, then the process, then the retired processes, then the
  entity again. The process is in the log, durably, before its first call leaves; it leaves the log
  only to be retired, in one transaction, and is forgotten only once its entities are gone. So where
  the entity was seen first, and then no process in either place, and then the entity still, there
  was none when it was created.

Of a process that is retired only its end is known, and its entities are being deleted: one that is
gone says nothing, one that is there is compared with that end. Nothing is deleted before the
process is retired. So where a process was read in the log, what was not there *before* that was not
deleted by retention, and is missing in truth.

An entity that was created in another window than its process is compared in the process's window,
where Get finds it. So each case is looked at once, and only what belongs to no process is reported
in its own window.
"""
