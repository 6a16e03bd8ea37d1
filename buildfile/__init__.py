"""Build files for BuildKit: ``load`` a build file, ``build`` its targets on a daemon."""
