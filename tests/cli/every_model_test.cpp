// Every command on every model of PARE_DATA_DIR: what it prints, and the same results from ONNX,
// .pare and ONNX again.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/run_command.h"
#include "core/sanitizers.h"
#include "pare/core/generator.h"
#include "pare/io/npy.h"

namespace pare::test {
namespace {

class EveryModelTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (data_folder().empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
#if PARE_SANITIZED
    GTEST_SKIP() << "too slow under the sanitizers";
#endif
    model_ = data_folder() + "/models/" + GetParam() + ".onnx";
    inspected_ = pare_json({"inspect", model_});
    for (const auto& input : inspected_["inputs"]) add_input(input);
  }

  /// Random numbers, whole ones below tinygpt's 65 characters; named axes are 2, and what ppocr was
  /// made for.
  void add_input(const nlohmann::json& input) {
    constexpr std::int64_t kPpocr[] = {2, 3, 48, 192};
    Shape shape;
    std::string sizes;
    for (const auto& size : input["shape"]) {
      const bool is_ppocr = std::string_view(GetParam()).starts_with("ppocr");
      shape.append(size.is_number() ? size.get<std::int64_t>()
                   : is_ppocr       ? kPpocr[shape.rank()]
                                    : 2);
      sizes += (sizes.empty() ? "" : ",") + std::to_string(shape[shape.rank() - 1]);
    }
    const std::string name = input["name"];
    const std::string file = folder_.path("in" + std::to_string(inputs_.size()) + ".npy");
    Generator generator(7);
    io::save_npy(file, input["dtype"] == "i64" ? generator.uniform(shape, 0, 64).to(DType::i64)
                                               : generator.normal(shape));
    inputs_.insert(inputs_.end(), {"--input", name + "=" + file});
    shapes_.insert(shapes_.end(), {"--shape", name + "=" + sizes});
  }

  nlohmann::json command(std::vector<std::string> arguments,
                         const std::vector<std::string>& more = {}) const {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return pare_json(arguments);
  }
  std::vector<Tensor> run(const std::string& model, std::vector<std::string> more = {}) const {
    more.insert(more.end(), inputs_.begin(), inputs_.end());
    std::vector<Tensor> tensors;
    const auto json = command({"run", model, "--output", folder_.path("out")}, more);
    for (const auto& output : json["outputs"]) {
      tensors.push_back(io::load_npy(output["file"].get<std::string>()));
      EXPECT_EQ(output["shape"], nlohmann::json(tensors.back().shape().to_vector()));
      EXPECT_EQ(output["dtype"], "f32");
    }
    EXPECT_EQ(tensors.size(), inspected_["outputs"].size());
    return tensors;
  }

  static void expect_near(const std::vector<Tensor>& a, const std::vector<Tensor>& b,
                          double bound) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t k = 0; k < a.size(); ++k) {
      ASSERT_EQ(a[k].shape(), b[k].shape());
      const auto x = a[k].to_vector<float>(), y = b[k].to_vector<float>();
      double largest = 1e-3, worst = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        largest = std::max(largest, static_cast<double>(std::abs(x[i])));
        const double apart = std::abs(x[i] - y[i]);
        if (!(apart <= worst)) worst = apart;  // NaN too
      }
      EXPECT_LE(worst, bound * largest) << "output " << k;
    }
  }

  static void expect_keys(const nlohmann::json& json, std::initializer_list<const char*> keys) {
    for (const char* key : keys) EXPECT_TRUE(json.contains(key)) << key;
  }

  TemporaryFolder folder_;
  std::string model_;
  nlohmann::json inspected_;
  std::vector<std::string> inputs_, shapes_;
};

TEST_P(EveryModelTest, SaysWhatTheContractNames) {
  expect_keys(inspected_, {"parameters", "macs", "bytes", "nonzero"});
  ASSERT_FALSE(inspected_["nodes"].empty());
  for (const auto& node : inspected_["nodes"])
    expect_keys(node, {"name", "op", "shape", "parameters", "macs", "bytes"});
  EXPECT_GT(command({"inspect", model_}, shapes_)["macs"], 0);
  const auto bench = command({"bench", model_, "--seconds", "0"}, shapes_);
  expect_keys(bench, {"median_ms", "min_ms", "p90_ms", "runs", "threads", "isa", "arena_bytes",
                      "weight_bytes"});
  ASSERT_FALSE(bench["steps"].empty());
  for (const auto& step : bench["steps"]) expect_keys(step, {"name", "kernel", "ms"});
  const auto table = pare({"inspect", model_, "--quiet"});
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out, "");
  EXPECT_EQ(table.error, "");
}

TEST_P(EveryModelTest, GivesTheSameFromEveryFile) {
  const std::string own = folder_.path("m.pare"), back = folder_.path("m.onnx");
  const auto to_own = command({"convert", model_, own});
  EXPECT_EQ(to_own["bytes_before"], std::filesystem::file_size(model_));
  EXPECT_EQ(to_own["bytes_after"], std::filesystem::file_size(own));
  command({"convert", own, back});
  const auto plan = run(model_);
  expect_near(plan, run(model_, {"--reference"}), 2e-5);
  expect_near(plan, run(own), 0);
  expect_near(plan, run(back), 1e-5);
  const auto compared = command({"compare", model_, back}, inputs_);
  ASSERT_FALSE(compared["layers"].empty());
  for (const char* part : {"outputs", "layers"})
    for (const auto& line : compared[part]) {
      expect_keys(line, {"name", "sqnr_db", "cosine", "max_abs"});
      EXPECT_TRUE(line["sqnr_db"].is_null() || line["sqnr_db"] > 90) << line;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Models, EveryModelTest,
    testing::Values("dtln_1", "dtln_2", "mlperf_tiny_kws_dscnn", "mlperf_tiny_resnet8_cifar10",
                    "mnist_cntk", "mobilenetv2_1.0_224_imagenet_fp32", "ppocr_mobilenetv3_cls",
                    "resnet20_cifar10", "resnet20_cifar10_torch_export",
                    "squeezenet1.1_imagenet_fp32", "tinygpt_shakespeare_opset17",
                    "ultraface_slim_320", "yunet_n_320_320"),
    [](const auto& given) {
      std::string name = given.param;
      std::erase_if(name, [](char c) { return c == '.'; });
      return name;
    });

}  // namespace
}  // namespace pare::test
