BEGIN TRANSACTION;
CREATE TABLE payment_schema_promise (
	revision TEXT NOT NULL, 
	runs_since TEXT NOT NULL, 
	PRIMARY KEY (revision)
);
INSERT INTO "payment_schema_promise" VALUES('0001','0001');
CREATE TABLE payment_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT payment_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "payment_schema_version" VALUES('0001');
CREATE TABLE payments (
	payment_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	asking TEXT, 
	cancel_requested BOOLEAN NOT NULL, 
	order_id TEXT, 
	currency_code TEXT, 
	minor_units BIGINT, 
	payment_method TEXT, 
	decline_reason TEXT, 
	decline_message TEXT, 
	release TEXT NOT NULL, 
	ask_attempts BIGINT NOT NULL, 
	ask_due_us BIGINT NOT NULL, 
	create_time_us BIGINT NOT NULL, 
	update_time_us BIGINT NOT NULL, 
	PRIMARY KEY (payment_id)
);
INSERT INTO "payments" VALUES('pay_1',2,'HELD',NULL,0,'ord_1','EUR',2599,'pm_card_visa',NULL,NULL,'NOTHING',0,0,1795667241970211,1795667241980284);
INSERT INTO "payments" VALUES('pay_2',4,'CONFIRMED',NULL,0,'ord_2','EUR',2599,'pm_card_visa',NULL,NULL,'NOTHING',0,0,1795667241983380,1795667242177946);
INSERT INTO "payments" VALUES('pay_3',4,'CANCELLED',NULL,1,'ord_3','EUR',2599,'pm_card_visa',NULL,NULL,'VOIDED',0,0,1795667241993508,1795667242205190);
INSERT INTO "payments" VALUES('pay_4',6,'CANCELLED',NULL,1,'ord_4','EUR',2599,'pm_card_visa',NULL,NULL,'REFUNDED',0,0,1795667241999084,1795667242335202);
INSERT INTO "payments" VALUES('pay_5',2,'DECLINED',NULL,0,'ord_5','EUR',2599,'pm_card_chargeDeclined','PAYMENT_DECLINED','the card was declined','NOTHING',0,0,1795667242063905,1795667242109454);
INSERT INTO "payments" VALUES('pay_6',4,'HELD',NULL,0,'ord_6','EUR',2599,'pm_sandbox_confirmDeclined','PAYMENT_DECLINED','the amount was held, but taking it was declined','NOTHING',0,0,1795667242126963,1795667242357159);
INSERT INTO "payments" VALUES('pay_9',1,'CANCELLED',NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,'NOTHING',0,0,1795667242415536,1795667242415536);
CREATE INDEX payments_by_time ON payments (create_time_us, payment_id);
CREATE INDEX payments_by_order ON payments (order_id, create_time_us, payment_id);
CREATE INDEX payments_by_state ON payments (state, create_time_us, payment_id);
CREATE INDEX payments_half_asked ON payments (payment_id) WHERE asking IS NOT NULL;
COMMIT;
