package main

import (
	"context"
	"path/filepath"
)

// prometheusVersion is that of the module: v0.316.0 is Prometheus 3.16.0.
const prometheusVersion = "v0.316.0"

// prometheusPrograms are the server and promtool, of which the tests use files
// and fixed addresses only: without the clouds' service discovery both are
// built in half the time.
func prometheusPrograms() []program {
	module := "github.com/prometheus/prometheus/cmd/"
	of := func(name, usually string) program {
		return program{
			name:    name,
			ldflags: []string{"-s", "-w"},
			tags:    "remove_all_sd",
			source:  module + name + "@" + prometheusVersion,
			usually: usually,
		}
	}
	return []program{of("prometheus", "2 to 3 minutes"), of("promtool", "1 minute")}
}

// buildPrometheus builds what is missing of it and prints where it is.
func buildPrometheus(ctx context.Context) error {
	builder, err := cacheBuilder(filepath.Join("prometheus", prometheusVersion), prometheusPrograms()...)
	if err != nil {
		return err
	}
	if err := builder.build(ctx); err != nil {
		return err
	}
	return printLine(struct {
		Prometheus string `json:"prometheus"`
		Promtool   string `json:"promtool"`
	}{builder.path(builder.programs[0]), builder.path(builder.programs[1])})
}
