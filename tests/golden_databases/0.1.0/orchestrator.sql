BEGIN TRANSACTION;
CREATE TABLE events (
	process_id TEXT NOT NULL, 
	sequence BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	time_us BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (process_id, sequence), 
	FOREIGN KEY(process_id) REFERENCES processes (process_id)
)
 WITHOUT ROWID

;
INSERT INTO "events" VALUES('prc_parked-resolved_19',1,'started',1700000000000000,'{"definition":"order_process","version":1,"input":{"customer_id":"Ada Lovelace, \u0141\u00f3d\u017a","items":[{"sku":"TEA","quantity":2,"unit_price":{"currency_code":"EUR","minor_units":1250}}],"payment_method":"pm_card_visa","delivery_address":{"recipient":"Ada","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"","postal_code":"1234","country_code":"NL"},"total":{"currency_code":"EUR","minor_units":2500}},"deadline_us":1700000060000000}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',2,'attempt_began',1700000000000000,'{"action":"create_order","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',3,'attempt_ended',1700000000011000,'{"action":"create_order","attempt":1,"code":"OK","result":{"total":{"currency_code":"EUR","minor_units":2500}}}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',4,'attempt_began',1700000000011000,'{"action":"process_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',5,'attempt_ended',1700000000022000,'{"action":"process_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',6,'attempt_began',1700000000022000,'{"action":"confirm_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',7,'attempt_ended',1700000000033000,'{"action":"confirm_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',8,'attempt_began',1700000000033000,'{"action":"confirm_order","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',9,'attempt_ended',1700000000044000,'{"action":"confirm_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',10,'attempt_began',1700000000044000,'{"action":"process_delivery","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',11,'attempt_ended',1700000000044000,'{"action":"process_delivery","attempt":1,"code":"FAILED_PRECONDITION","reason":"NO_COURIER_AVAILABLE","message":"Nobody goes there."}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',12,'compensation_began',1700000000044000,'{"step":"process_delivery","code":"FAILED_PRECONDITION","reason":"NO_COURIER_AVAILABLE","message":"Nobody goes there."}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',13,'attempt_began',1700000000044000,'{"action":"cancel_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',14,'attempt_ended',1700000000044000,'{"action":"cancel_payment","attempt":1,"code":"NOT_FOUND","reason":"PAYMENT_NOT_FOUND","message":"It is not there."}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',15,'parked',1700000000044000,'{"action":"cancel_payment","code":"NOT_FOUND","reason":"PAYMENT_NOT_FOUND","message":"It is not there."}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',16,'resolved_by_hand',1700000000250000,'{"action":"cancel_payment","reason":"done by phone","requested_by":"Grace"}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',17,'attempt_began',1700000000250000,'{"action":"cancel_order","attempt":1}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',18,'attempt_ended',1700000000261000,'{"action":"cancel_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked-resolved_19',19,'cancelled',1700000000261000,'{}');
INSERT INTO "events" VALUES('prc_parked_15',1,'started',1700000000000000,'{"definition":"order_process","version":1,"input":{"customer_id":"Ada Lovelace, \u0141\u00f3d\u017a","items":[{"sku":"TEA","quantity":2,"unit_price":{"currency_code":"EUR","minor_units":1250}}],"payment_method":"pm_card_visa","delivery_address":{"recipient":"Ada","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"","postal_code":"1234","country_code":"NL"},"total":{"currency_code":"EUR","minor_units":2500}},"deadline_us":1700000060000000}');
INSERT INTO "events" VALUES('prc_parked_15',2,'attempt_began',1700000000000000,'{"action":"create_order","attempt":1}');
INSERT INTO "events" VALUES('prc_parked_15',3,'attempt_ended',1700000000011000,'{"action":"create_order","attempt":1,"code":"OK","result":{"total":{"currency_code":"EUR","minor_units":2500}}}');
INSERT INTO "events" VALUES('prc_parked_15',4,'attempt_began',1700000000011000,'{"action":"process_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_parked_15',5,'attempt_ended',1700000000022000,'{"action":"process_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked_15',6,'attempt_began',1700000000022000,'{"action":"confirm_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_parked_15',7,'attempt_ended',1700000000033000,'{"action":"confirm_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked_15',8,'attempt_began',1700000000033000,'{"action":"confirm_order","attempt":1}');
INSERT INTO "events" VALUES('prc_parked_15',9,'attempt_ended',1700000000044000,'{"action":"confirm_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_parked_15',10,'attempt_began',1700000000044000,'{"action":"process_delivery","attempt":1}');
INSERT INTO "events" VALUES('prc_parked_15',11,'attempt_ended',1700000000044000,'{"action":"process_delivery","attempt":1,"code":"FAILED_PRECONDITION","reason":"NO_COURIER_AVAILABLE","message":"Nobody goes there."}');
INSERT INTO "events" VALUES('prc_parked_15',12,'compensation_began',1700000000044000,'{"step":"process_delivery","code":"FAILED_PRECONDITION","reason":"NO_COURIER_AVAILABLE","message":"Nobody goes there."}');
INSERT INTO "events" VALUES('prc_parked_15',13,'attempt_began',1700000000044000,'{"action":"cancel_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_parked_15',14,'attempt_ended',1700000000044000,'{"action":"cancel_payment","attempt":1,"code":"NOT_FOUND","reason":"PAYMENT_NOT_FOUND","message":"It is not there."}');
INSERT INTO "events" VALUES('prc_parked_15',15,'parked',1700000000044000,'{"action":"cancel_payment","code":"NOT_FOUND","reason":"PAYMENT_NOT_FOUND","message":"It is not there."}');
INSERT INTO "events" VALUES('prc_returned_20',1,'started',1700000000000000,'{"definition":"order_process","version":1,"input":{"customer_id":"Ada Lovelace, \u0141\u00f3d\u017a","items":[{"sku":"TEA","quantity":2,"unit_price":{"currency_code":"EUR","minor_units":1250}}],"payment_method":"pm_card_visa","delivery_address":{"recipient":"Ada","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"","postal_code":"1234","country_code":"NL"},"total":{"currency_code":"EUR","minor_units":2500}},"deadline_us":1700000060000000}');
INSERT INTO "events" VALUES('prc_returned_20',2,'attempt_began',1700000000000000,'{"action":"create_order","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',3,'attempt_ended',1700000000011000,'{"action":"create_order","attempt":1,"code":"OK","result":{"total":{"currency_code":"EUR","minor_units":2500}}}');
INSERT INTO "events" VALUES('prc_returned_20',4,'attempt_began',1700000000011000,'{"action":"process_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',5,'attempt_ended',1700000000022000,'{"action":"process_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_returned_20',6,'attempt_began',1700000000022000,'{"action":"confirm_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',7,'attempt_ended',1700000000033000,'{"action":"confirm_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_returned_20',8,'attempt_began',1700000000033000,'{"action":"confirm_order","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',9,'attempt_ended',1700000000044000,'{"action":"confirm_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_returned_20',10,'attempt_began',1700000000044000,'{"action":"process_delivery","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',11,'attempt_ended',1700000000055000,'{"action":"process_delivery","attempt":1,"code":"OK","result":{"courier_id":"courier-NL"}}');
INSERT INTO "events" VALUES('prc_returned_20',12,'completed',1700000000055000,'{}');
INSERT INTO "events" VALUES('prc_returned_20',13,'cancel_requested',1700000000250000,'{"reason":"changed my mind","requested_by":"Ada"}');
INSERT INTO "events" VALUES('prc_returned_20',14,'attempt_began',1700000000250000,'{"action":"cancel_delivery","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',15,'attempt_ended',1700000000261000,'{"action":"cancel_delivery","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_returned_20',16,'attempt_began',1700000000261000,'{"action":"cancel_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',17,'attempt_ended',1700000000272000,'{"action":"cancel_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_returned_20',18,'attempt_began',1700000000272000,'{"action":"cancel_order","attempt":1}');
INSERT INTO "events" VALUES('prc_returned_20',19,'attempt_ended',1700000000283000,'{"action":"cancel_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_returned_20',20,'cancelled',1700000000283000,'{}');
INSERT INTO "events" VALUES('prc_undeliverable_17',1,'started',1700000000000000,'{"definition":"order_process","version":1,"input":{"customer_id":"Ada Lovelace, \u0141\u00f3d\u017a","items":[{"sku":"TEA","quantity":2,"unit_price":{"currency_code":"EUR","minor_units":1250}}],"payment_method":"pm_card_visa","delivery_address":{"recipient":"Ada","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"","postal_code":"1234","country_code":"NL"},"total":{"currency_code":"EUR","minor_units":2500}},"deadline_us":1700000060000000}');
INSERT INTO "events" VALUES('prc_undeliverable_17',2,'attempt_began',1700000000000000,'{"action":"create_order","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',3,'attempt_ended',1700000000011000,'{"action":"create_order","attempt":1,"code":"OK","result":{"total":{"currency_code":"EUR","minor_units":2500}}}');
INSERT INTO "events" VALUES('prc_undeliverable_17',4,'attempt_began',1700000000011000,'{"action":"process_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',5,'attempt_ended',1700000000022000,'{"action":"process_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_undeliverable_17',6,'attempt_began',1700000000022000,'{"action":"confirm_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',7,'attempt_ended',1700000000033000,'{"action":"confirm_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_undeliverable_17',8,'attempt_began',1700000000033000,'{"action":"confirm_order","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',9,'attempt_ended',1700000000044000,'{"action":"confirm_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_undeliverable_17',10,'attempt_began',1700000000044000,'{"action":"process_delivery","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',11,'attempt_ended',1700000000044000,'{"action":"process_delivery","attempt":1,"code":"FAILED_PRECONDITION","reason":"NO_COURIER_AVAILABLE","message":"Nobody goes there."}');
INSERT INTO "events" VALUES('prc_undeliverable_17',12,'compensation_began',1700000000044000,'{"step":"process_delivery","code":"FAILED_PRECONDITION","reason":"NO_COURIER_AVAILABLE","message":"Nobody goes there."}');
INSERT INTO "events" VALUES('prc_undeliverable_17',13,'attempt_began',1700000000044000,'{"action":"cancel_payment","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',14,'attempt_ended',1700000000055000,'{"action":"cancel_payment","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_undeliverable_17',15,'attempt_began',1700000000055000,'{"action":"cancel_order","attempt":1}');
INSERT INTO "events" VALUES('prc_undeliverable_17',16,'attempt_ended',1700000000066000,'{"action":"cancel_order","attempt":1,"code":"OK"}');
INSERT INTO "events" VALUES('prc_undeliverable_17',17,'cancelled',1700000000066000,'{}');
CREATE TABLE orchestrator_schema_promise (
	revision TEXT NOT NULL, 
	runs_since TEXT NOT NULL, 
	PRIMARY KEY (revision)
);
INSERT INTO "orchestrator_schema_promise" VALUES('0004','0001');
CREATE TABLE orchestrator_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT orchestrator_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "orchestrator_schema_version" VALUES('0004');
CREATE TABLE processes (
	process_id TEXT NOT NULL, 
	business_key TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	definition TEXT NOT NULL, 
	definition_version BIGINT NOT NULL, 
	phase TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	epoch BIGINT NOT NULL, 
	owner TEXT, 
	due_time_us BIGINT, 
	create_time_us BIGINT NOT NULL, 
	update_time_us BIGINT NOT NULL, 
	end_time_us BIGINT, 
	PRIMARY KEY (process_id), 
	UNIQUE (business_key)
)
 WITHOUT ROWID

;
INSERT INTO "processes" VALUES('prc_parked-resolved_19','prc_parked-resolved_19','52a251271ed668d02bbf7054d2071010fb04a53b7de49488ec8c7ad99ff83379','Ada Lovelace, Łódź','order_process',1,'CANCELLED',19,1,NULL,NULL,1700000000000000,1700000000261000,1700000000261000);
INSERT INTO "processes" VALUES('prc_parked_15','prc_parked_15','52a251271ed668d02bbf7054d2071010fb04a53b7de49488ec8c7ad99ff83379','Ada Lovelace, Łódź','order_process',1,'PARKED',15,1,NULL,NULL,1700000000000000,1700000000044000,NULL);
INSERT INTO "processes" VALUES('prc_returned_20','prc_returned_20','52a251271ed668d02bbf7054d2071010fb04a53b7de49488ec8c7ad99ff83379','Ada Lovelace, Łódź','order_process',1,'CANCELLED',20,1,NULL,NULL,1700000000000000,1700000000283000,1700000000283000);
INSERT INTO "processes" VALUES('prc_undeliverable_17','prc_undeliverable_17','52a251271ed668d02bbf7054d2071010fb04a53b7de49488ec8c7ad99ff83379','Ada Lovelace, Łódź','order_process',1,'CANCELLED',17,1,NULL,NULL,1700000000000000,1700000000066000,1700000000066000);
CREATE TABLE replicas (
	owner TEXT NOT NULL, 
	begin_time_us BIGINT NOT NULL, 
	expire_time_us BIGINT NOT NULL, 
	PRIMARY KEY (owner)
)
 WITHOUT ROWID

;
CREATE TABLE retired (
	process_id TEXT NOT NULL, 
	business_key TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	epoch BIGINT NOT NULL, 
	by_hand TEXT NOT NULL, 
	create_time_us BIGINT NOT NULL, 
	end_time_us BIGINT NOT NULL, 
	retire_time_us BIGINT NOT NULL, 
	purge_due_us BIGINT, 
	PRIMARY KEY (process_id), 
	UNIQUE (business_key)
)
 WITHOUT ROWID

;
INSERT INTO "retired" VALUES('prc_delivered_12','prc_delivered_12','52a251271ed668d02bbf7054d2071010fb04a53b7de49488ec8c7ad99ff83379','Ada Lovelace, Łódź','COMPLETED',12,1,'',1700000000000000,1700000000055000,1700000000000000,1700000000000000);
CREATE INDEX processes_by_time ON processes (create_time_us, process_id);
CREATE INDEX processes_by_phase ON processes (phase, create_time_us, process_id);
CREATE INDEX processes_by_subject ON processes (subject, create_time_us, process_id);
CREATE INDEX processes_due ON processes (owner, due_time_us) WHERE due_time_us IS NOT NULL;
CREATE INDEX processes_settled ON processes (end_time_us, process_id) WHERE end_time_us IS NOT NULL;
CREATE INDEX retired_due ON retired (purge_due_us, process_id) WHERE purge_due_us IS NOT NULL;
CREATE INDEX retired_purged ON retired (end_time_us, process_id) WHERE purge_due_us IS NULL;
COMMIT;
