-- When the store was last asked to remove it, in vain; `since` stays the moment of its photo's deletion.
ALTER TABLE discarded_object ADD COLUMN tried_at DATETIME(6);
CREATE INDEX discarded_object_by_tried ON discarded_object (tried_at, since);
