module loom.internal/migrations

go 1.26.8
