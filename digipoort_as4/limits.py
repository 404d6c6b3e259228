"""Every limit in one table, each with its reason. Nothing here measures anything."""

from datetime import timedelta
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


HEADER_TIMEOUT: Final = timedelta(seconds=10)  # From connection to last header; aiohttp waits for ever (threats M01)
MINIMUM_RATE: Final = 1 * KIB  # Octets per second of body after the grace time; slower is closed (threats M02)
RATE_GRACE: Final = timedelta(seconds=10)
KEEPALIVE: Final = timedelta(seconds=30)  # A connection waiting for its next request; aiohttp's own default is an hour
ANSWER_STALL: Final = timedelta(seconds=30)  # A peer that takes no octet of our answer is cut off (threats M03)
LINGER: Final = timedelta(seconds=5)
"""How long the rest of a refused body is read and thrown away, so that the peer sees our answer and not a reset."""
CONNECTIONS: Final = 1_000  # Open connections of one listener; above it the one idle longest makes room (threats M04)
CONNECTIONS_PER_CERTIFICATE: Final = 200  # Of those, with one and the same TLS certificate
CALL: Final = timedelta(seconds=30)  # A whole call of ours, answer included; a silent agency holds a slot this long
SEND_RATE: Final = 256 * KIB  # Octets per second of our body that a peer must take; lengthens CALL for large ones
CONNECT: Final = timedelta(seconds=10)  # Of that, to open the connection, the TLS handshake included
POOL_KEEPALIVE: Final = timedelta(seconds=15)  # A pooled connection of ours; well below what servers keep theirs
ANSWER: Final = 4 * MIB  # Octets of an answer that we read: an answer with many statusdetails fits, a flood does not
WUS_BODY: Final = 120 * MIB  # A whole WUS request (decision 12)
ANSWER_ROWS: Final = 1_000  # Statuses, processes or messages in one answer of ours; the rest waits to be asked
ANSWER_TREE: Final = 768 * KIB  # Of an answer of ours, large texts aside: whoever reads as we do (TREE) can read it
ANSWER_CONTENT: Final = 100 * MIB  # Octets of documents in one answer of the ophaalservice; one message goes always
PARTS: Final = 64  # MIME parts of one body: 50 documents, the root, and what toolkits move out beside them
PART_HEADERS: Final = 8 * KIB  # Octets of the headers of one MIME part; real ones are below 300
INLINE_BODY: Final = 1 * MIB  # Up to here a body stays on the event loop and in memory; above: thread and spool file


TREE: Final = 1 * MIB  # What may be left for the tree once large inhoud elements have been taken out (decision 13)
INHOUD_IN_TREE: Final = 64 * KIB  # Base64 text of an inhoud above this never enters the tree (decision 13)
ANSWER_READ: Final = 32 * MIB  # The same for an answer that we asked for: statusdetails may hold 1 MiB each
ANSWER_DOCUMENTS: Final = 5_000  # Large inhoud elements of such an answer: 100 messages of 50
INHOUD: Final = 20_971_520  # Octets of one inhoud, decoded: maxLength of the XSD
INHOUD_TEXT: Final = 28 * MIB  # Base64 text of one inhoud: 20 MiB in wrapped lines is 28,697,870 octets (decision 12)
DEPTH: Final = 64
ATTRIBUTES: Final = 64  # Per element; the most seen in 241 public envelopes is 6 (threats 1.1)
NAMESPACES: Final = 128  # Declarations in a document; the most seen is 45
ELEMENTS: Final = 100_000


REFERENCES: Final = 10  # WUS: six to eight are normal
SAME_TARGET: Final = 2  # Policy-driven CXF signs the Timestamp twice (digipoort 2.1)
PREFIX_LIST: Final = 16
RSA_BITS: Final = 2048  # Smallest RSA key of a signer
RSA_BITS_MOST: Final = 8192  # Largest: costs 16 times RSA-2048 to verify; a token of 16 KiB has room for 100,000 bits
TOKEN: Final = 16 * KIB  # Octets of a BinarySecurityToken's DER; real ones are about 2 KiB


TIMESTAMP_AGE: Final = timedelta(seconds=300)  # Without Expires (decision 7)
TIMESTAMP_LIFE: Final = timedelta(seconds=600)  # At most, whatever Expires says (decision 7)
TIMESTAMP_FUTURE: Final = timedelta(seconds=60)
REPEAT_KEPT: Final = timedelta(days=7)  # A verbatim repeat gets the same answer for this long (decision 8)
RETRY_FOR: Final = timedelta(hours=72)  # Delivery to an agency (digipoort 3.1, status 420)


LEASE: Final = timedelta(seconds=90)  # A claimed job is ours this long without a heartbeat; longer than any CALL
PROCESSING: Final = 16  # Messages in processing at once: commits share a transaction, and none waits long
PER_DESTINATION: Final = 4  # Deliveries to one agency at once; a silent agency holds these and no more (P6)
DELIVERIES: Final = 1_000  # Deliveries at once in all: 250 silent agencies must not hold up the next one (P6)
CIRCUIT: Final = 3  # Failures of one agency in a row after which one delivery at a time probes it
POISON: Final = 3  # Claims after which a job that breaks our own code is parked for the operator
CRASHES: Final = 10  # Claims without any end, as when the process died each time, after which a job is parked unseen
SWITCH: Final = timedelta(microseconds=100)
"""After this a thread that works on a large body lets the event loop go on; Python's own 5 ms, many times in a message,
made small messages beside large ones wait 140 ms instead of 20 (p99)."""
WORKER_PAUSE: Final = timedelta(seconds=5)
"""Longest sleep of the worker; it wakes at each commit and due time, this bounds what a moved clock can do."""


INLINE_PAYLOAD: Final = 64 * KIB  # Up to here octets live in the row, above it in a file (design 5.6)
CHUNK: Final = 256 * KIB  # Octets per read of a payload
DOCUMENTS: Final = 50  # Documents in one envelope; the XSD sets no bound, an e-factuur has at most ten
ORPHAN_KEPT: Final = timedelta(hours=24)  # A file without a row is swept when older; far above any upload (design 5.6)
