-- Who registered a dataset: nobody lets a key go on the word of a table that they chose themselves. Empty: from before.

ALTER TABLE datasets ADD COLUMN registered_by TEXT COLLATE "C" NOT NULL DEFAULT '';
