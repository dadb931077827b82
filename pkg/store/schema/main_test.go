package schema_test

import (
	"os"
	"testing"

	"loom.internal/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
