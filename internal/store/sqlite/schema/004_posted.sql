-- Balances with names: a row for each writer that posted to an account. The order
-- of the joins suits the queries: by account, or all.
CREATE VIEW posted AS
SELECT writer.id AS writer, writer.name AS name, account.name AS account, balance.asset AS asset, balance.debit AS debit, balance.credit AS credit
FROM account CROSS JOIN writer CROSS JOIN balance
WHERE balance.writer = writer.id AND balance.account = account.id;
